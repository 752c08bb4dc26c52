#include "daemon/dhcp/tap.hpp"

#include "daemon/dhcp/fail.hpp"

#include <cerrno>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace capsul::dhcp {

Tap::Tap(const std::string& name) : fd_(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK)) {
    if (fd_ < 0) {
        fail(errno, "/dev/net/tun");
    }
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (::ioctl(fd_, TUNSETIFF, &request) != 0) {
        const int error = errno;
        ::close(fd_);
        fail(error, "TAP " + name);
    }
}

Tap::~Tap() {
    ::close(fd_);
}

Frame Tap::read() {
    const ssize_t size = ::read(fd_, buffer_.data(), buffer_.size());
    if (size < 0 && errno != EAGAIN && errno != EINTR) {
        fail(errno, "a TAP was removed");
    }
    return Frame(buffer_).first(size < 0 ? 0 : static_cast<std::size_t>(size));
}

void Tap::write(Frame frame) const {
    static_cast<void>(::write(fd_, frame.data(), frame.size()) < 0);
}

} // namespace capsul::dhcp
