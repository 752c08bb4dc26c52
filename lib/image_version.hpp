// Versions of images, as their publishers number them.
#pragma once

#include "lib/size.hpp"

#include <compare>
#include <string>
#include <string_view>

namespace capsul {

/// Which of an image's publications one is, such as "20261122" or "9.8-20260525.0": 1 to 64 letters, digits
/// and "._+-". Numbers in it sort as numbers: "1.9" is before "1.10".
class ImageVersion {
  public:
    ImageVersion() = default;
    /// Throws Error (invalid).
    [[nodiscard]] static ImageVersion parse(std::string_view text);
    /// The day of a moment, in UTC: "20261122".
    [[nodiscard]] static ImageVersion of_day(const Timestamp& moment);
    [[nodiscard]] const std::string& to_string() const noexcept { return text_; }
    [[nodiscard]] std::strong_ordering operator<=>(const ImageVersion& other) const;
    bool operator==(const ImageVersion&) const = default;

  private:
    explicit ImageVersion(std::string text) : text_(std::move(text)) {}
    std::string text_;
};

} // namespace capsul
