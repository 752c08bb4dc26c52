#include "lib/one_line.hpp"

namespace capsul {

std::string one_line(std::string_view text, std::size_t longest) {
    std::string out;
    for (const char c : text) {
        const bool is_control = static_cast<unsigned char>(c) < ' ' || c == '\x7f';
        const bool is_second_of_control = // U+0080 to U+009F in UTF-8
            out.ends_with('\xc2') && static_cast<unsigned char>(c) >= 0x80 &&
            static_cast<unsigned char>(c) < 0xa0;
        if (is_second_of_control) {
            out.back() = '?';
            continue;
        }
        out += is_control ? '?' : c;
    }
    if (out.size() <= longest) {
        return out;
    }
    std::size_t end = longest;
    while (end > 0 && (static_cast<unsigned char>(out[end]) & 0xc0U) == 0x80U) {
        --end; // a character stays whole
    }
    return out.substr(0, end) + "…";
}

} // namespace capsul
