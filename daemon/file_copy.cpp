#include "daemon/file_copy.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"
#include "lib/space.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <linux/fs.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace capsul {
namespace {

namespace fs = std::filesystem;

/// Between two looks at whether to go on.
constexpr off_t piece = off_t{16} << 20U;

struct stat status_of(int fd, const fs::path& file) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) {
        throw_errno(errno, file.string());
    }
    return status;
}

/// Where data begins, or ends, at or after `from`; the file's end when there is none.
off_t seek(int fd, off_t from, int whence, off_t end, const fs::path& file) {
    const off_t found = ::lseek(fd, from, whence);
    if (found < 0 && errno != ENXIO) {
        throw_errno(errno, file.string());
    }
    return found < 0 ? end : found;
}

void copy_range(int from, int to, off_t begin, off_t end, const fs::path& target, const OnCopied& on_copied) {
    SpaceWatch space(to, target.string(), space_reserve);
    while (begin < end) {
        space.before(static_cast<std::uint64_t>(std::min(piece, end - begin)));
        off_t in = begin;
        off_t out = begin;
        const ssize_t copied =
            ::copy_file_range(from, &in, to, &out, static_cast<std::size_t>(std::min(piece, end - begin)), 0);
        if (copied < 0 && errno == EINTR) {
            continue;
        }
        if (copied <= 0) {
            throw_errno(copied == 0 ? EIO : errno, target.string()); // it got shorter
        }
        begin += copied;
        on_copied(static_cast<std::uint64_t>(copied));
    }
}

void copy_data(int from, int to, off_t size, const fs::path& source, const fs::path& target,
               const OnCopied& on_copied) {
    for (off_t begin = 0; (begin = seek(from, begin, SEEK_DATA, size, source)) < size;) {
        const off_t end = seek(from, begin, SEEK_HOLE, size, source);
        copy_range(from, to, begin, end, target, on_copied);
        begin = end;
    }
}

} // namespace

std::optional<std::uint64_t> allocated_bytes(const fs::path& file) {
    struct stat status {};
    if (::stat(file.c_str(), &status) != 0) {
        return std::nullopt;
    }
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

void copy_file_sparsely(const fs::path& from, const fs::path& to, const OnCopied& on_copied) {
    const UniqueFd source = open_file(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const struct stat status = status_of(source.get(), from);
    if (!S_ISREG(status.st_mode)) {
        throw Error(ErrorCode::invalid, from.string() + ": is not a regular file");
    }
    const UniqueFd target = open_file(to, O_WRONLY | O_CREAT | O_EXCL);
    if (::ioctl(target.get(), FICLONE, source.get()) == 0) {
        on_copied(static_cast<std::uint64_t>(status.st_blocks) * 512);
    } else {
        SpaceWatch(target.get(), to.string(), space_reserve)
            .before(static_cast<std::uint64_t>(status.st_blocks) * 512);
        if (::ftruncate(target.get(), status.st_size) != 0) {
            throw_errno(errno, to.string());
        }
        copy_data(source.get(), target.get(), status.st_size, from, to, on_copied);
    }
    const struct stat after = status_of(source.get(), from);
    if (after.st_mtim.tv_sec != status.st_mtim.tv_sec || after.st_mtim.tv_nsec != status.st_mtim.tv_nsec) {
        throw Error(ErrorCode::in_use, from.string() + ": was written while it was copied");
    }
    if (::fsync(target.get()) != 0) {
        throw_errno(errno, to.string());
    }
    sync_folder(to.parent_path());
}

void for_each_piece(const fs::path& file, const std::function<void(std::string_view)>& take) {
    constexpr std::size_t most = std::size_t{1} << 20U;
    const UniqueFd fd = open_file(file, O_RDONLY | O_NOFOLLOW);
    std::string buffer(most, '\0');
    for (ssize_t got = 1; got != 0;) {
        got = ::read(fd.get(), buffer.data(), buffer.size());
        if (got < 0 && errno != EINTR) {
            throw_errno(errno, file.string());
        }
        if (got > 0) {
            take(std::string_view(buffer).substr(0, static_cast<std::size_t>(got)));
        }
    }
}

} // namespace capsul
