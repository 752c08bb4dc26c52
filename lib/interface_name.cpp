#include "lib/interface_name.hpp"

#include "lib/ascii.hpp"
#include "lib/error.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <net/if.h>

namespace capsul {
namespace {

bool is_interface_character(char c) {
    return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '.';
}

} // namespace

InterfaceName InterfaceName::parse(std::string_view text) {
    if (text.empty() || text.size() >= IFNAMSIZ || !is_letter(text.front()) ||
        !std::ranges::all_of(text, is_interface_character)) {
        throw Error(ErrorCode::invalid,
                    fmt::format("'{}' is not the name of a network interface", text.substr(0, 64)),
                    "`ip link` shows those there are");
    }
    InterfaceName name;
    name.text_ = text;
    return name;
}

} // namespace capsul
