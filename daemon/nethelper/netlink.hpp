// Netlink (netlink(7)): messages written and read, a question and its answer. Without libnl, which asks the
// environment which files to read before main() runs, and in which most of this would be as long.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <linux/netlink.h>
#include <span>
#include <string_view>
#include <type_traits>

namespace capsul::nethelper {

using Bytes = std::span<const std::byte>;

template <class T>
requires std::is_trivially_copyable_v<T>
[[nodiscard]] Bytes bytes_of(const T& value) {
    return std::as_bytes(std::span<const T, 1>(&value, 1));
}

/// What netlink puts one after the other begins at a multiple of four.
[[nodiscard]] constexpr std::size_t aligned(std::size_t size) {
    return (size + 3) & ~std::size_t{3};
}

/// One message or several, written one after the other. What does not fit ends the program.
class Messages {
  public:
    /// Begins a message: its netlink header and the fixed part that its type has.
    template <class Header>
    void begin(std::uint16_t type, unsigned flags, const Header& header) {
        start_ = size_;
        nlmsghdr netlink{};
        netlink.nlmsg_type = type;
        netlink.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
        append(bytes_of(netlink));
        append(bytes_of(header));
    }

    void put(std::uint16_t type, Bytes value);
    void put(std::uint16_t type, std::string_view terminated);
    template <class T>
    void put_value(std::uint16_t type, const T& value) {
        put(type, bytes_of(value));
    }
    /// An attribute that holds those that `fill` puts.
    template <class Fill>
    void nest(std::uint16_t type, const Fill& fill) {
        const std::size_t at = size_;
        append(bytes_of(nlattr{0, static_cast<std::uint16_t>(type | NLA_F_NESTED)}));
        fill();
        const auto length = static_cast<std::uint16_t>(size_ - at);
        std::memcpy(bytes_.data() + at, &length, sizeof length);
    }

    /// The kernel answers the message that was begun last also when all went well.
    void acknowledge();
    void set_sequence(std::uint32_t sequence);
    [[nodiscard]] Bytes bytes() const { return {bytes_.data(), size_}; }

  private:
    void append(Bytes value);
    template <class Change>
    void change_header(std::size_t at, const Change& change);

    alignas(nlmsghdr) std::array<std::byte, 49152> bytes_{};
    std::size_t size_ = 0;
    std::size_t start_ = 0;
};

/// An attribute of a message that was read. What is torn ends the iteration.
struct Attribute {
    std::uint16_t type = 0;
    Bytes value;

    /// Zeros in the place of what is missing.
    template <class T>
    [[nodiscard]] T as() const {
        T result{};
        if (!value.empty()) {
            std::memcpy(&result, value.data(), std::min(value.size(), sizeof result));
        }
        return result;
    }
    [[nodiscard]] std::string_view text() const;
};

class Attributes {
  public:
    explicit Attributes(Bytes bytes) : rest_(bytes) {}
    /// The next one; false at the end.
    [[nodiscard]] bool next(Attribute& attribute);
    /// The first of this type; an empty one when there is none.
    [[nodiscard]] static Attribute find(Bytes bytes, std::uint16_t type);

  private:
    Bytes rest_;
};

/// A message that was read.
struct Message {
    std::uint16_t type = 0;
    Bytes payload;

    template <class Header>
    [[nodiscard]] Header header() const {
        return Attribute{0, payload}.as<Header>();
    }
    /// What follows the fixed part.
    template <class Header>
    [[nodiscard]] Bytes attributes() const {
        return payload.subspan(std::min(payload.size(), aligned(sizeof(Header))));
    }
};

class Netlink {
  public:
    /// Where the kernel has no such protocol, every question is answered by EPROTONOSUPPORT.
    explicit Netlink(int protocol);
    Netlink(const Netlink&) = delete;
    Netlink& operator=(const Netlink&) = delete;
    ~Netlink();

    /// Sends; then read the answer with next(). What is left of an earlier answer is dropped. The last
    /// message must be one that the kernel answers: a question or an acknowledged one.
    void ask(Messages& messages);
    /// The next message of the answer; false at its end, see error().
    [[nodiscard]] bool next(Message& message);
    /// 0, or the errno that the kernel answered; EINTR for a list that changed while it was given.
    [[nodiscard]] int error() const { return error_; }
    /// Asks and waits for the end of the answer; returns error().
    int run(Messages& messages);

  private:
    void receive();
    void end(int error);

    int fd_ = -1;
    std::uint32_t sequence_ = 0;
    bool done_ = true;
    bool interrupted_ = false;
    int error_ = 0;
    alignas(nlmsghdr) std::array<std::byte, 65536> buffer_{};
    Bytes rest_;
};

} // namespace capsul::nethelper
