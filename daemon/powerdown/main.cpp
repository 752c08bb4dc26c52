// capsul-powerdown SECONDS SOCKET: ExecStop of a VM's unit. Presses the guest's power button (ACPI) through
// QEMU's own monitor socket and waits until QEMU has gone, at most SECONDS. Needs no capsuld.
#include "lib/error.hpp"
#include "lib/fd.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <poll.h>
#include <string_view>
#include <sys/socket.h>

namespace capsul {
namespace {

using Clock = std::chrono::steady_clock;

// A guest early in its boot does not hear the button, so it is pressed again.
constexpr std::chrono::seconds press_again{5};

/// A paused guest cannot react, hence "cont". Answers do not matter: that QEMU goes away does.
constexpr std::string_view greeting = R"({"execute":"qmp_capabilities"}{"execute":"cont"})";
constexpr std::string_view press = R"({"execute":"system_powerdown"})";

bool send(int socket, std::string_view command) {
    return ::send(socket, command.data(), command.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(command.size());
}

/// Reads and drops what QEMU says for up to `limit`; true when QEMU has closed the socket.
bool closed_within(int socket, std::chrono::milliseconds limit) {
    const auto end = Clock::now() + limit;
    std::array<char, 4096> dropped{};
    while (Clock::now() < end) {
        pollfd waiting{socket, POLLIN, 0};
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
        if (::poll(&waiting, 1, static_cast<int>(left.count())) <= 0) {
            continue;
        }
        const ssize_t got = ::recv(socket, dropped.data(), dropped.size(), 0);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return true;
        }
    }
    return false;
}

bool power_down(int socket, std::chrono::seconds limit) {
    const auto end = Clock::now() + limit;
    if (!send(socket, greeting)) {
        return true;
    }
    while (Clock::now() < end) {
        if (!send(socket, press)) {
            return true;
        }
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
        if (closed_within(socket, std::min<std::chrono::milliseconds>(press_again, left))) {
            return true;
        }
    }
    return false;
}

/// Nothing when QEMU has gone by itself or was killed: systemd runs ExecStop then too, without MAINPID.
UniqueFd connect(const char* path) {
    try {
        return connect_unix(path);
    } catch (const Error& error) {
        if (error.code() == ErrorCode::unreachable &&
            std::getenv("MAINPID") == nullptr) { // NOLINT(concurrency-mt-unsafe)
            return {};
        }
        throw;
    }
}

int run(std::string_view seconds, const char* path) {
    int limit = 0;
    const auto parsed = std::from_chars(seconds.data(), seconds.data() + seconds.size(), limit);
    if (parsed.ec != std::errc{} || parsed.ptr != seconds.data() + seconds.size() || limit < 1) {
        std::fputs("capsul-powerdown: SECONDS must be a positive number\n", stderr);
        return 2;
    }
    const UniqueFd socket = connect(path);
    if (socket && !power_down(socket.get(), std::chrono::seconds(limit))) {
        std::fprintf(stderr, "capsul-powerdown: the guest has not powered down within %d s\n", limit);
        return 1;
    }
    return 0;
}

} // namespace
} // namespace capsul

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fputs("usage: capsul-powerdown SECONDS SOCKET\n", stderr);
        return 2;
    }
    try {
        return capsul::run(argv[1], argv[2]);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "capsul-powerdown: %s\n", error.what());
        return 1;
    }
}
