#include "lib/fd.hpp"

#include "lib/error.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace capsul {

void UniqueFd::reset() noexcept {
    if (fd_ >= 0) {
        ::close(std::exchange(fd_, -1));
    }
}

UniqueFd open_file(const std::filesystem::path& path, int flags, unsigned mode) {
    UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, mode)); // NOLINT(cppcoreguidelines-pro-type-vararg)
    if (!fd) {
        throw_errno(errno, path.string());
    }
    return fd;
}

std::string read_file(const std::filesystem::path& path, std::size_t limit) {
    UniqueFd fd = open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0) {
        throw_errno(errno, path.string());
    }
    if (!S_ISREG(status.st_mode)) {
        throw Error(ErrorCode::invalid, path.string() + ": is not a regular file");
    }
    std::string content;
    std::string chunk(std::size_t{64} * 1024, '\0');
    while (true) {
        const ssize_t got = ::read(fd.get(), chunk.data(), chunk.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            throw_errno(errno, path.string());
        }
        if (got == 0) {
            return content;
        }
        content.append(chunk, 0, static_cast<std::size_t>(got));
        if (content.size() > limit) {
            throw Error(ErrorCode::too_large,
                        path.string() + ": is longer than " + std::to_string(limit) + " bytes");
        }
    }
}

void write_all(int fd, std::string_view data, const std::string& what) {
    while (!data.empty()) {
        const ssize_t written = ::write(fd, data.data(), data.size());
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            throw_errno(errno, what);
        }
        data.remove_prefix(static_cast<std::size_t>(written));
    }
}

namespace {

void sync_fd(int fd, const std::string& what) {
    if (::fsync(fd) != 0) {
        throw_errno(errno, what);
    }
}

/// What replace_file would have renamed this to; empty for what has another form.
std::string_view name_of_temporary(std::string_view file) {
    constexpr std::size_t random_part = 7;
    if (file.size() <= random_part || !file.starts_with('.') || file[file.size() - random_part] != '.') {
        return {};
    }
    return file.substr(1, file.size() - random_part - 1);
}

/// Removes a temporary file unless it was renamed into place.
class TemporaryName {
  public:
    explicit TemporaryName(std::string name) : name_(std::move(name)) {}
    TemporaryName(const TemporaryName&) = delete;
    TemporaryName& operator=(const TemporaryName&) = delete;
    ~TemporaryName() {
        if (!name_.empty()) {
            ::unlink(name_.c_str());
        }
    }
    void keep() { name_.clear(); }

  private:
    std::string name_;
};

} // namespace

void replace_file(const std::filesystem::path& path, std::string_view content, unsigned mode) {
    std::string temporary = (path.parent_path() / ("." + path.filename().string() + ".XXXXXX")).string();
    UniqueFd fd(::mkostemp(temporary.data(), O_CLOEXEC));
    if (!fd) {
        throw_errno(errno, path.string());
    }
    TemporaryName cleanup(temporary);
    if (::fchmod(fd.get(), mode) != 0) {
        throw_errno(errno, path.string());
    }
    write_all(fd.get(), content, path.string());
    sync_fd(fd.get(), path.string());
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
        throw_errno(errno, path.string());
    }
    cleanup.keep();
    sync_folder(path.parent_path());
}

void remove_half_written(const std::filesystem::path& folder,
                         const std::function<bool(std::string_view name)>& ours) {
    std::vector<std::filesystem::path> left;
    std::error_code failure;
    for (std::filesystem::directory_iterator entry(folder, failure), end; entry != end;
         entry.increment(failure)) {
        const std::string file = entry->path().filename();
        const std::string_view name = name_of_temporary(file);
        if (!name.empty() && ours(name)) {
            left.push_back(entry->path());
        }
    }
    for (const std::filesystem::path& file : left) {
        ::unlink(file.c_str());
    }
}

void remove_half_written(const std::filesystem::path& folder) {
    remove_half_written(folder, [](std::string_view) { return true; });
}

void sync_folder(const std::filesystem::path& folder) {
    const UniqueFd fd = open_file(folder, O_RDONLY | O_DIRECTORY);
    sync_fd(fd.get(), folder.string());
}

void make_folders(const std::filesystem::path& path, unsigned mode) {
    if (path.empty()) {
        return;
    }
    if (::mkdir(path.c_str(), mode) == 0) {
        sync_folder(path.has_parent_path() ? path.parent_path() : ".");
        return;
    }
    if (errno == ENOENT && path.has_parent_path() && path.parent_path() != path) {
        make_folders(path.parent_path(), mode);
        make_folders(path, mode);
        return;
    }
    if (errno != EEXIST || !std::filesystem::is_directory(path)) {
        throw_errno(errno == EEXIST ? ENOTDIR : errno, path.string());
    }
}

sockaddr_un unix_address(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.native().size() >= sizeof address.sun_path) {
        throw Error(ErrorCode::invalid, path.string() + ": is too long for a socket path");
    }
    std::memcpy(address.sun_path, path.c_str(), path.native().size() + 1);
    return address;
}

UniqueFd connect_unix(const std::filesystem::path& path) {
    const sockaddr_un address = unix_address(path);
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!fd) {
        throw_errno(errno, "socket");
    }
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): the sockets API
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        throw Error(errno == EACCES ? ErrorCode::denied : ErrorCode::unreachable,
                    path.string() + ": " + std::strerror(errno)); // NOLINT(concurrency-mt-unsafe)
    }
    return fd;
}

} // namespace capsul
