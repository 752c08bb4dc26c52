// Any bytes as what another host of a VPN tells: refused with an Error, or of a form that cannot bring a line
// of its own into tinc's files.
#include "daemon/tinc_config.hpp"
#include "lib/error.hpp"
#include "lib/json.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

/// Nothing but an address, a port and lines of base64.
void check_host_file(const capsul::VpnNode& node) {
    const std::string text = capsul::tinc_host(node);
    const auto lines = static_cast<std::size_t>(std::ranges::count(text, '\n'));
    const std::string pem = node.key.to_pem();
    const auto expected = node.addresses.size() + static_cast<std::size_t>(std::ranges::count(pem, '\n'));
    const bool is_plain =
        std::ranges::all_of(text, [](char c) { return (c >= ' ' && c <= '~') || c == '\n'; });
    if (lines != expected || !is_plain) {
        std::abort();
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try {
        static_cast<void>(capsul::VpnBundle::from_text(text));
    } catch (const capsul::Error&) { // NOLINT(bugprone-empty-catch): refusing is right
    }
    try {
        check_host_file(capsul::parse<capsul::VpnNode>(text)); // without its signature
    } catch (const capsul::Error&) {                           // NOLINT(bugprone-empty-catch)
    }
    try {
        static_cast<void>(capsul::VpnAddressWish::parse(text));
    } catch (const capsul::Error&) { // NOLINT(bugprone-empty-catch)
    }
    return 0;
}
