// An IPv4 or IPv6 address with a port, as the sockets API takes it.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <sys/socket.h>

namespace capsul {

class SocketAddress {
  public:
    SocketAddress() = default;
    /// `address` is IPv4 or IPv6, in text, and is valid.
    SocketAddress(const std::string& address, std::uint16_t port);
    /// As the system has it.
    SocketAddress(const sockaddr& address, socklen_t size);
    /// What the socket is bound to. Throws Error.
    [[nodiscard]] static SocketAddress of_socket(int fd);

    [[nodiscard]] int family() const noexcept { return storage_.ss_family; }
    [[nodiscard]] socklen_t size() const noexcept { return size_; }
    [[nodiscard]] const sockaddr* generic() const noexcept;
    /// For a call that fills it in, such as recvmsg(2); `set_size` says how far.
    [[nodiscard]] sockaddr* buffer() noexcept;
    static constexpr socklen_t buffer_size = sizeof(sockaddr_storage);
    void set_size(socklen_t size) noexcept { size_ = size; }
    /// All that counts of it.
    [[nodiscard]] std::string bytes() const;
    bool operator==(const SocketAddress& other) const { return bytes() == other.bytes(); }

  private:
    sockaddr_storage storage_{};
    socklen_t size_ = 0;
};

} // namespace capsul
