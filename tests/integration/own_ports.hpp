// Ports for tests, which run beside each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace capsul::test {

constexpr int ports_each = 16;

/// A number that no other process here has while this one lives: the kernel gives its socket's name to one
/// alone.
inline int claim_block() {
    for (int number = ::getpid();; ++number) {
        const int block = number % (10000 / ports_each);
        const std::string name = "capsul-test-ports-" + std::to_string(block);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        name.copy(address.sun_path + 1, sizeof(address.sun_path) - 1); // begins with a NUL: no file
        const int claim = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
        if (::bind(claim, reinterpret_cast<sockaddr*>(&address), length) == 0) {
            return block;
        }
        ::close(claim);
    }
}

/// One of this process's ports, from 0 to 15, of which no test that runs beside it has any. All are from
/// 10000 to 19999: the kernel gives none of these to outgoing connections, so what is free stays free.
inline std::uint16_t own_port(int which) {
    static const int block = claim_block();
    return static_cast<std::uint16_t>(10000 + block * ports_each + which);
}

} // namespace capsul::test
