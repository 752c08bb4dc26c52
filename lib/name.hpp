// The name of a VM, an image or a network.
#pragma once

#include <compare>
#include <optional>
#include <string>
#include <string_view>

namespace capsul {

/// A DNS label (RFC 1123 2.1) in lower case: a letter first, then letters, digits and hyphens, not ending in
/// a hyphen, at most 63. Safe as a file name, in a unit name and as a host name.
class Name {
  public:
    Name() = default;
    /// Throws Error (invalid) that says which rule was broken.
    [[nodiscard]] static Name parse(std::string_view text);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }
    auto operator<=>(const Name&) const = default;

  private:
    explicit Name(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

/// A name made up for a VM that was given none, such as "calm-otter"; random.
[[nodiscard]] Name made_up_name();

/// NAME of a unit called PREFIX + NAME + ".service"; nothing for any other.
[[nodiscard]] std::optional<Name> name_in_unit(std::string_view unit, std::string_view prefix);

/// A label's key or value: 1 to 63 (value: 0 to 255) printable ASCII characters; a key without "=" and ",".
void check_label(std::string_view key, std::string_view value);

} // namespace capsul
