// What Debian calls its packages and releases.
#pragma once

#include "lib/json.hpp"

#include <array>
#include <compare>
#include <string>
#include <string_view>

namespace capsul {

/// The name of a Debian package (Debian Policy 5.6.1): a letter or digit first, then lower-case letters,
/// digits and "+-.", at least two and at most 100. Not one that ends in a hyphen, by which apt would remove
/// the package.
class PackageName {
  public:
    PackageName() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static PackageName parse(std::string_view text);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }
    auto operator<=>(const PackageName&) const = default;

  private:
    explicit PackageName(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

/// The releases of which capsul-build can make an image.
enum class DebianRelease { bookworm, trixie };
template <>
struct EnumWords<DebianRelease> {
    static constexpr std::array<std::pair<DebianRelease, std::string_view>, 2> words{
        {{DebianRelease::bookworm, "bookworm"}, {DebianRelease::trixie, "trixie"}}};
};

} // namespace capsul
