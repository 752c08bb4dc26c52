// /dev/net/tun: the kernel's own documentation, networking/tuntap.
#pragma once

#include "daemon/nethelper/values.hpp"

#include <sys/types.h>

namespace capsul::nethelper {

/// An open TAP. One that was made goes with this descriptor, however the process ends, unless it is kept.
class TapDevice {
  public:
    TapDevice();
    TapDevice(const TapDevice&) = delete;
    TapDevice& operator=(const TapDevice&) = delete;
    ~TapDevice();

    /// 0; EBUSY when there is an interface of this name.
    [[nodiscard]] int create(const Name& name);
    /// Only this user may open it from now on.
    void give_to(uid_t user);
    /// It outlives this program.
    void keep();

  private:
    void set(unsigned long request, unsigned long value);

    int fd_ = -1;
};

} // namespace capsul::nethelper
