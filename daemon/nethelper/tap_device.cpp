#include "daemon/nethelper/tap_device.hpp"

#include "daemon/nethelper/die.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace capsul::nethelper {

TapDevice::TapDevice() : fd_(::open("/dev/net/tun", O_RDWR | O_CLOEXEC)) {
    if (fd_ < 0) {
        die_errno(errno, "/dev/net/tun");
    }
}

TapDevice::~TapDevice() {
    ::close(fd_);
}

int TapDevice::create(const Name& name) {
    ifreq request{};
    static_assert(sizeof request.ifr_name == sizeof name.text);
    std::copy(name.text.begin(), name.text.end(), request.ifr_name);
    request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL);
    if (::ioctl(fd_, TUNSETIFF, &request) == 0) {
        return 0;
    }
    if (errno != EBUSY && errno != EEXIST) {
        die_errno(errno, "the TAP cannot be made");
    }
    return EBUSY;
}

void TapDevice::give_to(uid_t user) {
    set(TUNSETOWNER, user);
}

void TapDevice::keep() {
    set(TUNSETPERSIST, 1);
}

void TapDevice::set(unsigned long request, unsigned long value) {
    if (::ioctl(fd_, request, value) != 0) {
        die_errno(errno, "the TAP cannot be set");
    }
}

} // namespace capsul::nethelper
