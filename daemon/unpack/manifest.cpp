#include "daemon/unpack/manifest.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace capsul::unpack {
namespace {

struct Algorithm {
    std::string_view name;
    Hash::Kind kind;
    std::size_t digits;
};

constexpr std::array algorithms{Algorithm{"SHA1", Hash::Kind::sha1, 40},
                                Algorithm{"SHA256", Hash::Kind::sha256, 64},
                                Algorithm{"SHA512", Hash::Kind::sha512, 128}};

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blank = " \t\r";
    const auto first = text.find_first_not_of(blank);
    return first == std::string_view::npos ? std::string_view()
                                           : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

[[noreturn]] void refuse() {
    throw Error(ErrorCode::invalid, "the OVA's manifest has a line that is no SHA1, SHA256 or SHA512 digest",
                "take the .mf out of it to import it unchecked");
}

/// `SHA256(disk.vmdk)= 0f…`
std::pair<std::string, ManifestDigest> parse_line(std::string_view line) {
    const auto open = line.find('(');
    const auto close = line.rfind(')');
    const auto equals = line.find('=', close == std::string_view::npos ? 0 : close);
    if (open == std::string_view::npos || close == std::string_view::npos || close < open ||
        equals == std::string_view::npos || !trimmed(line.substr(close + 1, equals - close - 1)).empty()) {
        refuse();
    }
    const std::string_view name = trimmed(line.substr(0, open));
    std::string hex(trimmed(line.substr(equals + 1)));
    std::ranges::transform(hex, hex.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const auto* const known = std::ranges::find(algorithms, name, &Algorithm::name);
    if (known == algorithms.end() || hex.size() != known->digits ||
        hex.find_first_not_of("0123456789abcdef") != std::string::npos) {
        refuse();
    }
    return {std::string(line.substr(open + 1, close - open - 1)), {known->kind, hex}};
}

} // namespace

std::map<std::string, ManifestDigest> parse_manifest(std::string_view text) {
    std::map<std::string, ManifestDigest> digests;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        if (const std::string_view line = trimmed(text.substr(0, end)); !line.empty()) {
            digests.insert(parse_line(line));
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return digests;
}

} // namespace capsul::unpack
