#include "daemon/download_file.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace capsul {
namespace {

namespace fs = std::filesystem;

constexpr const char* file_name = "file";

std::string claimed_name(const Uuid& id) {
    return id.to_string() + ".claimed";
}

/// A file that is being sent.
struct Sent {
    OwnFolder folder;
    UniqueFd fd;

    [[nodiscard]] std::size_t read(std::span<char> piece) const {
        while (true) {
            const ssize_t got = ::read(fd.get(), piece.data(), piece.size());
            if (got >= 0) {
                return static_cast<std::size_t>(got);
            }
            if (errno != EINTR) {
                throw_errno(errno, folder.path().string());
            }
        }
    }
};

} // namespace

OutgoingFile::OutgoingFile(const fs::path& folder)
    : folder_(folder), id_(Uuid::make()), own_(folder / claimed_name(id_)) {}

fs::path OutgoingFile::path() const {
    return own_.path() / file_name;
}

Download OutgoingFile::finish() {
    fs::remove_all(source());
    const Download download{id_, fs::file_size(path())};
    own_.rename_to(folder_ / id_.to_string());
    return download;
}

DownloadResponse claim_download(const fs::path& folder, const Uuid& id) {
    const fs::path claimed = folder / claimed_name(id);
    // Whoever renames it has it: a second claim finds nothing.
    if (::rename((folder / id.to_string()).c_str(), claimed.c_str()) != 0) {
        throw Error(ErrorCode::not_found, fmt::format("download {}: does not exist", id.to_string()),
                    "a file is kept for an hour and serves one call; have it made again");
    }
    const auto sent = std::make_shared<Sent>(Sent{OwnFolder(claimed), {}});
    sent->fd = open_file(claimed / file_name, O_RDONLY | O_NOFOLLOW);
    return {fs::file_size(claimed / file_name), [sent](std::span<char> piece) { return sent->read(piece); }};
}

void expire_downloads(const fs::path& folder, std::chrono::seconds age) {
    const auto now = fs::file_time_type::clock::now();
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
        const bool waits = entry.path().extension() != ".claimed";
        const auto made = fs::last_write_time(entry.path(), ignored);
        if (waits && !ignored && now - made > age) {
            fs::remove_all(entry.path(), ignored);
        }
    }
}

} // namespace capsul
