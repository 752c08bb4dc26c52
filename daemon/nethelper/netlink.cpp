#include "daemon/nethelper/netlink.hpp"

#include "daemon/nethelper/die.hpp"

#include <cerrno>
#include <sys/socket.h>
#include <unistd.h>

namespace capsul::nethelper {
namespace {

/// Takes what begins with a header that tells its whole length, in a field of the header. False for what is
/// torn.
template <class Header, class Length>
bool take(Bytes& rest, Header& header, Length Header::*length, Bytes& value) {
    if (rest.size() < sizeof header) {
        return false;
    }
    std::memcpy(&header, rest.data(), sizeof header);
    const std::size_t size = header.*length;
    if (size < sizeof header || size > rest.size()) {
        return false;
    }
    value = rest.subspan(sizeof header, size - sizeof header);
    rest = rest.subspan(aligned(size) < rest.size() ? aligned(size) : rest.size());
    return true;
}

} // namespace

void Messages::append(Bytes value) {
    if (value.size() > bytes_.size() - size_) {
        die(Exit::kernel, "the message to the kernel is too long");
    }
    if (!value.empty()) {
        std::memcpy(bytes_.data() + size_, value.data(), value.size());
    }
    size_ += aligned(value.size());
    change_header(start_,
                  [&](nlmsghdr& header) { header.nlmsg_len = static_cast<std::uint32_t>(size_ - start_); });
}

template <class Change>
void Messages::change_header(std::size_t at, const Change& change) {
    nlmsghdr header{};
    std::memcpy(&header, bytes_.data() + at, sizeof header);
    change(header);
    std::memcpy(bytes_.data() + at, &header, sizeof header);
}

void Messages::put(std::uint16_t type, Bytes value) {
    append(bytes_of(nlattr{static_cast<std::uint16_t>(sizeof(nlattr) + value.size()), type}));
    append(value);
}

void Messages::put(std::uint16_t type, std::string_view terminated) {
    put(type, std::as_bytes(std::span(terminated.data(), terminated.size() + 1)));
}

void Messages::acknowledge() {
    change_header(start_, [](nlmsghdr& header) { header.nlmsg_flags |= NLM_F_ACK; });
}

void Messages::set_sequence(std::uint32_t sequence) {
    for (std::size_t at = 0; at < size_;) {
        change_header(at, [&](nlmsghdr& header) {
            header.nlmsg_seq = sequence;
            at += header.nlmsg_len;
        });
    }
}

std::string_view Attribute::text() const {
    const std::string_view all(reinterpret_cast<const char*>(value.data()),
                               value.size()); // NOLINT: bytes as text
    return {all.data(), all.find('\0') == std::string_view::npos ? all.size() : all.find('\0')};
}

bool Attributes::next(Attribute& attribute) {
    nlattr header{};
    if (!take(rest_, header, &nlattr::nla_len, attribute.value)) {
        return false;
    }
    attribute.type =
        static_cast<std::uint16_t>(header.nla_type & ~unsigned{NLA_F_NESTED | NLA_F_NET_BYTEORDER});
    return true;
}

Attribute Attributes::find(Bytes bytes, std::uint16_t type) {
    Attributes all(bytes);
    for (Attribute attribute; all.next(attribute);) {
        if (attribute.type == type) {
            return attribute;
        }
    }
    return {};
}

Netlink::Netlink(int protocol) : fd_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)) {
    if (fd_ < 0 && errno != EPROTONOSUPPORT) {
        die_errno(errno, "a netlink socket cannot be made");
    }
    // Strict checking: a list is of what was asked for, and of nothing else.
    for (const int option : {NETLINK_GET_STRICT_CHK, NETLINK_CAP_ACK}) {
        const int on = 1;
        ::setsockopt(fd_, SOL_NETLINK, option, &on, sizeof on);
    }
}

Netlink::~Netlink() {
    ::close(fd_);
}

void Netlink::ask(Messages& messages) {
    messages.set_sequence(++sequence_);
    rest_ = {};
    done_ = interrupted_ = false;
    const Bytes bytes = messages.bytes();
    if (fd_ < 0) {
        end(EPROTONOSUPPORT);
    } else if (::send(fd_, bytes.data(), bytes.size(), 0) < 0) {
        end(errno);
    }
}

bool Netlink::next(Message& message) {
    while (!done_) {
        if (rest_.empty()) {
            receive();
            continue;
        }
        nlmsghdr header{};
        Bytes payload;
        if (!take(rest_, header, &nlmsghdr::nlmsg_len, payload)) {
            die(Exit::kernel, "the kernel's answer is torn");
        }
        if (header.nlmsg_seq != sequence_) {
            continue;
        }
        interrupted_ = interrupted_ || (header.nlmsg_flags & NLM_F_DUMP_INTR) != 0;
        if (header.nlmsg_type == NLMSG_ERROR || header.nlmsg_type == NLMSG_DONE) {
            end(-Attribute{0, payload}.as<int>());
        } else {
            message = {header.nlmsg_type, payload};
            return true;
        }
    }
    return false;
}

int Netlink::run(Messages& messages) {
    ask(messages);
    for (Message message; next(message);) {
    }
    return error_;
}

/// One datagram into the buffer; nothing when a signal came or it is not the kernel's.
void Netlink::receive() {
    sockaddr_nl sender{};
    socklen_t length = sizeof sender;
    const ssize_t got = ::recvfrom(fd_, buffer_.data(), buffer_.size(), MSG_TRUNC,
                                   reinterpret_cast<sockaddr*>(&sender), &length); // NOLINT: the sockets API
    if (got < 0 && errno != EINTR) {
        die_errno(errno, "the kernel's answer cannot be read");
    }
    if (got > static_cast<ssize_t>(buffer_.size())) {
        die(Exit::kernel, "the kernel's answer is too long");
    }
    const bool from_kernel = got > 0 && sender.nl_pid == 0;
    rest_ = from_kernel ? Bytes(buffer_.data(), static_cast<std::size_t>(got)) : Bytes();
}

void Netlink::end(int error) {
    done_ = true;
    error_ = error == 0 && interrupted_ ? EINTR : error;
}

} // namespace capsul::nethelper
