// The name of a network interface.
#pragma once

#include <compare>
#include <string>
#include <string_view>

namespace capsul {

/// The name of a network interface: 1 to 15 characters (IFNAMSIZ, netdevice(7)), a letter first, then
/// letters, digits, ".", "_" and "-".
class InterfaceName {
  public:
    InterfaceName() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static InterfaceName parse(std::string_view text);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }
    auto operator<=>(const InterfaceName&) const = default;

  private:
    std::string text_;
};

} // namespace capsul
