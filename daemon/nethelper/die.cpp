#include "daemon/nethelper/die.hpp"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <unistd.h>

namespace capsul::nethelper {
namespace {

using Text = std::array<char, 600>;

[[gnu::format(printf, 1, 0)]] Text to_text(const char* format, va_list arguments) {
    Text text{};
    std::vsnprintf(text.data(), text.size(), format, arguments); // NOLINT: std::format throws
    return text;
}

/// Not dprintf(), which asks what kind of file it is: that is not among the allowed system calls.
[[gnu::format(printf, 2, 3)]] void write_text(int fd, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const Text text = to_text(format, arguments);
    va_end(arguments);
    const char* at = text.data();
    const char* end = at + std::strlen(at);
    for (ssize_t wrote = 1; at < end && wrote > 0; at += std::max<ssize_t>(wrote, 0)) {
        wrote = ::write(fd, at, static_cast<std::size_t>(end - at));
    }
}

} // namespace

void die(Exit code, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    write_text(STDERR_FILENO, "capsul-net: %s\n", to_text(format, arguments).data());
    va_end(arguments);
    ::_exit(static_cast<int>(code));
}

void die_errno(int error, const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const Text text = to_text(format, arguments);
    va_end(arguments);
    const char* meaning = ::strerrordesc_np(error); // strerror() would look for a translation
    die(Exit::kernel, "%s: %s", text.data(), meaning != nullptr ? meaning : "unknown error");
}

void print(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    write_text(STDOUT_FILENO, "%s", to_text(format, arguments).data());
    va_end(arguments);
}

} // namespace capsul::nethelper
