#include "daemon/serial_log.hpp"

#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace capsul {
namespace {

constexpr std::uint64_t tail_bytes = 16 * 1024;

std::uint64_t size_of(int fd) {
    struct stat status {};
    return ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode) ? static_cast<std::uint64_t>(status.st_size)
                                                                : 0;
}

std::string read_last(int fd, std::uint64_t count) {
    const std::uint64_t size = size_of(fd);
    std::string text(std::min(size, count), '\0');
    const ssize_t got = ::pread(fd, text.data(), text.size(), static_cast<off_t>(size - text.size()));
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
}

/// For terminals and logs: line ends stay, escapes and the like do not.
std::string printable(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == '\r') {
            continue;
        }
        const bool control = (static_cast<unsigned char>(c) < ' ' && c != '\n' && c != '\t') || c == '\x7f';
        out += control ? '?' : c;
    }
    return out;
}

} // namespace

std::string serial_tail(const std::filesystem::path& file, std::size_t lines) {
    const UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)); // NOLINT(*-vararg)
    if (!fd) {
        return {};
    }
    std::string text = printable(read_last(fd.get(), tail_bytes));
    std::size_t start = text.size();
    for (std::size_t found = 0; found <= lines && start != std::string::npos && start > 0; ++found) {
        start = text.rfind('\n', start - 1);
    }
    return start == std::string::npos || start == 0 ? text : text.substr(start + 1);
}

void trim_file(const std::filesystem::path& file, std::uint64_t limit) {
    const UniqueFd fd(::open(file.c_str(), O_RDWR | O_APPEND | O_CLOEXEC | O_NONBLOCK)); // NOLINT(*-vararg)
    if (!fd || size_of(fd.get()) <= limit) {
        return;
    }
    const std::string kept = read_last(fd.get(), limit / 2);
    if (::ftruncate(fd.get(), 0) != 0) {
        throw_errno(errno, file.string());
    }
    write_all(fd.get(), kept, file.string());
}

} // namespace capsul
