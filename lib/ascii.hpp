// Letters and digits as names, addresses and numbers have them: of ASCII, whatever the locale (isalpha(3)
// follows it).
#pragma once

namespace capsul {

[[nodiscard]] constexpr bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}

[[nodiscard]] constexpr bool is_lower(char c) noexcept {
    return c >= 'a' && c <= 'z';
}

[[nodiscard]] constexpr bool is_letter(char c) noexcept {
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

} // namespace capsul
