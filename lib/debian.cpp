#include "lib/debian.hpp"

#include "lib/error.hpp"

#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::size_t longest = 100;
constexpr std::string_view alphanumeric = "abcdefghijklmnopqrstuvwxyz0123456789";

bool is_package_name(std::string_view text) {
    return text.size() >= 2 && text.size() <= longest &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789+-.") == std::string_view::npos &&
           alphanumeric.find(text.front()) != std::string_view::npos && text.back() != '-';
}

} // namespace

PackageName PackageName::parse(std::string_view text) {
    if (!is_package_name(text)) {
        throw Error(ErrorCode::invalid,
                    fmt::format("'{}' is not the name of a Debian package", text.substr(0, longest)),
                    "lower-case letters, digits and +-. only, such as nginx or libstdc++6; one name each");
    }
    return PackageName(std::string(text));
}

} // namespace capsul
