#include "daemon/upload_file.hpp"

#include "lib/error.hpp"
#include "lib/space.hpp"

#include <algorithm>
#include <cctype>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace capsul {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void throw_no_space(const fs::path& folder, const std::string& what) {
    throw Error(ErrorCode::no_space, what + ": no space left on the disk of " + folder.string(),
                "free some space there, or remove images that are not needed (`capsulctl image list`)");
}

void check_hex(const std::optional<std::string>& digest, std::size_t digits, const char* name) {
    const bool ok = !digest || (digest->size() == digits && std::ranges::all_of(*digest, [](unsigned char c) {
                                    return std::isxdigit(c) != 0;
                                }));
    if (!ok) {
        throw Error(ErrorCode::invalid, fmt::format("{}: a digest is {} hexadecimal digits", name, digits));
    }
}

UploadFile checked(UploadFile expected) {
    check_hex(expected.sha256, 64, "sha256");
    check_hex(expected.sha512, 128, "sha512");
    for (auto* digest : {&expected.sha256, &expected.sha512}) {
        if (*digest) {
            std::ranges::transform(**digest, (*digest)->begin(),
                                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        }
    }
    return expected;
}

void check_digest(const char* name, const std::optional<std::string>& expected, const std::string& got) {
    if (expected && *expected != got) {
        throw Error(ErrorCode::verification,
                    fmt::format("the {} of what was sent is {}, not {}", name, got, *expected),
                    "the file is damaged or of another version: fetch it again, and the checksum too");
    }
}

} // namespace

TemporaryFile::~TemporaryFile() {
    if (!path_.empty()) {
        ::unlink(path_.c_str());
    }
}

void TemporaryFile::rename_to(const fs::path& target) {
    if (::rename(path_.c_str(), target.c_str()) != 0) {
        throw_errno(errno, target.string());
    }
    path_.clear();
}

IncomingFile::IncomingFile(const fs::path& folder, const UploadFile& expected, Bytes max_size)
    : folder_(folder), expected_(checked(expected)), max_size_(max_size), id_(Uuid::make()),
      sha256_(Hash::Kind::sha256), file_(folder / (id_.to_string() + ".part")) {
    if (expected_.sha512) {
        sha512_.emplace(Hash::Kind::sha512);
    }
    check_free_space(folder_, 0, "receiving a file");
    fd_ = open_file(file_.path(), O_WRONLY | O_CREAT | O_EXCL, 0600);
    writer_.emplace(fd_.get(), "receiving a file", space_reserve);
}

void IncomingFile::write(std::string_view piece) {
    if (piece.size() > max_size_.count() - writer_->size()) {
        throw Error(ErrorCode::too_large,
                    fmt::format("the file is larger than the {} allowed", human_size(max_size_.count())),
                    "max_size under [image] in capsuld.toml is the limit");
    }
    sha256_.add(piece);
    if (sha512_) {
        sha512_->add(piece);
    }
    try {
        writer_->write(piece);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::no_space) {
            throw_no_space(folder_, "receiving a file");
        }
        throw;
    }
}

Upload IncomingFile::finish() {
    writer_->finish();
    const std::string hex = sha256_.finish();
    check_digest("SHA-256", expected_.sha256, hex);
    if (sha512_) {
        check_digest("SHA-512", expected_.sha512, sha512_->finish());
    }
    fd_.reset();
    file_.rename_to(folder_ / fmt::format("{}.{}", id_.to_string(), hex));
    return {id_, writer_->size(), Digest::parse("sha256:" + hex)};
}

ClaimedFile claim_upload(const fs::path& folder, const Uuid& id) {
    const std::string prefix = id.to_string() + ".";
    std::error_code missing;
    for (const auto& entry : fs::directory_iterator(folder, missing)) {
        const std::string name = entry.path().filename().string();
        if (name.size() != prefix.size() + 64 || !name.starts_with(prefix)) {
            continue;
        }
        // Whoever renames it has it: a second claim finds nothing.
        const fs::path claimed = folder / (id.to_string() + ".claimed");
        if (::rename(entry.path().c_str(), claimed.c_str()) == 0) {
            return {TemporaryFile(claimed), Digest::parse("sha256:" + name.substr(prefix.size()))};
        }
    }
    throw Error(ErrorCode::not_found, fmt::format("upload {}: does not exist", id.to_string()),
                "an upload is kept for an hour and serves one import; send the file again");
}

void expire_uploads(const fs::path& folder, std::chrono::seconds age) {
    const auto now = std::chrono::system_clock::now();
    std::error_code missing;
    for (const auto& entry : fs::directory_iterator(folder, missing)) {
        struct stat status {};
        const auto ending = entry.path().extension();
        const bool waits =
            ending != ".claimed" && ending != ".part" && ::lstat(entry.path().c_str(), &status) == 0;
        if (waits && now - std::chrono::system_clock::from_time_t(status.st_mtim.tv_sec) > age) {
            ::unlink(entry.path().c_str());
        }
    }
}

void clear_uploads(const fs::path& folder) {
    std::error_code missing;
    for (const auto& entry : fs::directory_iterator(folder, missing)) {
        ::unlink(entry.path().c_str());
    }
}

void check_free_space(const fs::path& folder, std::uint64_t bytes, const std::string& work) {
    struct statvfs status {};
    if (::statvfs(folder.c_str(), &status) != 0) {
        throw_errno(errno, folder.string());
    }
    const std::uint64_t available = std::uint64_t{status.f_bavail} * status.f_frsize;
    if (available < space_reserve || available - space_reserve < bytes) {
        throw_no_space(folder, fmt::format("{} needs {} and {} are free", work,
                                           human_size(bytes + space_reserve), human_size(available)));
    }
}

} // namespace capsul
