#include "daemon/dhcp/interface.hpp"

#include "daemon/dhcp/fail.hpp"

#include <cerrno>
#include <cstring>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <span>
#include <sys/socket.h>
#include <unistd.h>

namespace capsul::dhcp {
namespace {

/// A request to the kernel being written.
class Message {
  public:
    template <class Header>
    Message(std::uint16_t type, std::uint16_t flags, const Header& header) {
        nlmsghdr start{};
        start.nlmsg_type = type;
        start.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
        add(start);
        add(header);
    }

    /// An attribute; `put_rest` may put others into it.
    template <class Put>
    void put(std::uint16_t type, Put put_rest) {
        const std::size_t start = bytes_.size();
        add(rtattr{0, type});
        put_rest();
        const auto size = static_cast<std::uint16_t>(bytes_.size() - start);
        std::memcpy(&bytes_[start], &size, sizeof size);
        bytes_.resize((bytes_.size() + 3) / 4 * 4);
    }

    template <class T>
    void add(const T& value) {
        add(std::span(reinterpret_cast<const std::uint8_t*>(&value), sizeof value));
    }
    void add(std::span<const std::uint8_t> bytes) {
        const std::size_t start = bytes_.size();
        bytes_.resize(start + bytes.size());
        std::memcpy(bytes_.data() + start, bytes.data(), bytes.size());
    }

    [[nodiscard]] std::span<const std::uint8_t> finished() {
        const auto size = static_cast<std::uint32_t>(bytes_.size());
        std::memcpy(bytes_.data(), &size, sizeof size);
        return bytes_;
    }

  private:
    std::vector<std::uint8_t> bytes_;
};

class Kernel {
  public:
    Kernel() : socket_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) {
        if (socket_ < 0) {
            fail(errno, "netlink");
        }
    }
    Kernel(const Kernel&) = delete;
    Kernel& operator=(const Kernel&) = delete;
    ~Kernel() { ::close(socket_); }

    /// Asks, and waits for the acknowledgement. Returns the errno that it brings, or 0.
    [[nodiscard]] int ask(Message& message) const {
        const auto bytes = message.finished();
        struct {
            nlmsghdr header;
            nlmsgerr error;
        } answer{};
        if (::send(socket_, bytes.data(), bytes.size(), 0) < 0 ||
            ::recv(socket_, &answer, sizeof answer, MSG_TRUNC) < 0) {
            return errno;
        }
        return answer.header.nlmsg_type == NLMSG_ERROR ? -answer.error.error : EPROTO;
    }

    /// Asks for what must succeed.
    void run(Message& message, const char* what) const {
        if (const int error = ask(message); error != 0) {
            fail(error, what);
        }
    }

  private:
    int socket_;
};

ifinfomsg header_of(int index) {
    ifinfomsg header{};
    header.ifi_index = index;
    return header;
}

void set_mac(const Kernel& kernel, int index, const Mac& mac) {
    Message message(RTM_SETLINK, 0, header_of(index));
    message.put(IFLA_ADDRESS, [&] { message.add(std::span<const std::uint8_t>(mac)); });
    kernel.run(message, "the server's interface");
}

void set_mtu(const Kernel& kernel, int index, unsigned mtu) {
    Message message(RTM_SETLINK, 0, header_of(index));
    message.put(IFLA_MTU, [&] { message.add(std::uint32_t{mtu}); });
    kernel.run(message, "the server's interface");
}

/// Its own choice of a link-local address may not be the bridge's.
void choose_no_address(const Kernel& kernel, int index) {
    Message message(RTM_SETLINK, 0, header_of(index));
    message.put(IFLA_AF_SPEC, [&] {
        message.put(AF_INET6, [&] {
            message.put(IFLA_INET6_ADDR_GEN_MODE, [&] { message.add(std::uint8_t{IN6_ADDR_GEN_MODE_NONE}); });
        });
    });
    const int error = kernel.ask(message);
    if (error != 0 && error != EAFNOSUPPORT) { // a kernel without IPv6 chooses none anyway
        fail(error, "the server's interface");
    }
}

void set_up(const Kernel& kernel, int index) {
    ifinfomsg header = header_of(index);
    header.ifi_flags = header.ifi_change = IFF_UP;
    Message message(RTM_SETLINK, 0, header);
    kernel.run(message, "the server's interface");
}

void add_address(const Kernel& kernel, int index, const Prefix& prefix) {
    ifaddrmsg header{};
    header.ifa_family = prefix.family;
    header.ifa_prefixlen = prefix.length;
    header.ifa_flags = prefix.family == AF_INET6 ? IFA_F_NODAD : 0;
    header.ifa_index = static_cast<unsigned>(index);
    const auto bytes = std::span<const std::uint8_t>(prefix.bytes).first(prefix.size());
    Message message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, header);
    message.put(IFA_LOCAL, [&] { message.add(bytes); });
    message.put(IFA_ADDRESS, [&] { message.add(bytes); });
    kernel.run(message, "an address of the server");
}

} // namespace

void set_up_interface(const std::string& name, const Mac& mac, unsigned mtu,
                      const std::vector<Prefix>& addresses) {
    const int index = static_cast<int>(::if_nametoindex(name.c_str()));
    if (index == 0) {
        fail(errno, name);
    }
    const Kernel kernel;
    set_mac(kernel, index, mac);
    if (mtu != 0) {
        set_mtu(kernel, index, mtu);
    }
    choose_no_address(kernel, index);
    for (const Prefix& prefix : addresses) {
        add_address(kernel, index, prefix);
    }
    set_up(kernel, index);
}

} // namespace capsul::dhcp
