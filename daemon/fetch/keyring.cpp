#include "daemon/fetch/keyring.hpp"

#include "lib/base64.hpp"
#include "lib/error.hpp"

#include <algorithm>

namespace capsul::fetch {
namespace {

constexpr std::string_view begin_line = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
constexpr std::string_view end_line = "-----END PGP PUBLIC KEY BLOCK-----";

std::string_view take_line(std::string_view& text) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto last = line.find_last_not_of(" \t\r");
    return line.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

/// The content of a block whose first line has been taken.
std::string take_block(std::string_view& text) {
    while (!text.empty() && !take_line(text).empty()) {
        // a header, such as "Comment: …"
    }
    std::string digits;
    for (std::string_view line = take_line(text); line != end_line; line = take_line(text)) {
        if (text.empty()) {
            throw Error(ErrorCode::invalid, "it ends in the middle of a key");
        }
        if (!line.starts_with('=')) { // which is the checksum
            digits += line;
        }
    }
    const auto keys = base64_decode(digits);
    if (!keys || keys->empty()) {
        throw Error(ErrorCode::invalid, "it holds something else than keys");
    }
    return *keys;
}

} // namespace

bool is_armored(std::string_view keyring) {
    return keyring.find(begin_line) != std::string_view::npos;
}

std::string without_armor(std::string_view keyring) {
    std::string keys;
    while (!keyring.empty()) {
        if (take_line(keyring) == begin_line) {
            keys += take_block(keyring);
        }
    }
    return keys;
}

} // namespace capsul::fetch
