#include "daemon/launcher/tap.hpp"

#include <cerrno>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <system_error>
#include <unistd.h>

namespace capsul::launcher {
namespace {

[[noreturn]] void fail(int error, const std::string& what) {
    throw std::system_error(error, std::generic_category(), what);
}

} // namespace

int attach_tap(const std::string& name) {
    const int tap = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (tap < 0) {
        fail(errno, "/dev/net/tun");
    }
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (::ioctl(tap, TUNSETIFF, &request) != 0) {
        const int error = errno;
        ::close(tap);
        fail(error, "the TAP " + name + " cannot be attached to");
    }
    return tap;
}

} // namespace capsul::launcher
