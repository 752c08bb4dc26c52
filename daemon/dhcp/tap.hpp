// The end of a TAP at which a program reads and writes frames.
#pragma once

#include "daemon/dhcp/packet.hpp"

#include <array>
#include <string>

namespace capsul::dhcp {

class Tap {
  public:
    /// Opens the TAP of this name in the network namespace of this process; makes one there that goes with
    /// the object, if it may. It stays where it is. Throws std::system_error.
    explicit Tap(const std::string& name);
    Tap(const Tap&) = delete;
    Tap& operator=(const Tap&) = delete;
    ~Tap();

    [[nodiscard]] int fd() const noexcept { return fd_; }
    /// The next frame; empty when there is none now. Valid until the next call. Throws std::system_error when
    /// the TAP was removed.
    [[nodiscard]] Frame read();
    /// A frame that cannot be sent now is lost, as on any cable.
    void write(Frame frame) const;

  private:
    int fd_;
    std::array<std::uint8_t, 2048> buffer_{}; ///< what is longer is cut off, and no request
};

} // namespace capsul::dhcp
