#include "cli/bundle_file.hpp"

#include "cli/input_file.hpp"
#include "lib/json.hpp"

#include <fmt/format.h>

namespace capsul::cli {
namespace {

constexpr const char* origin = "`capsulctl network export NAME FILE` on a host of the VPN writes such a file";

[[noreturn]] void refuse(const std::string& where, const std::string& why, const std::string& hint = origin) {
    throw Error(ErrorCode::invalid, fmt::format("{}: {}", where, why), hint);
}

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blank = " \t\r\n";
    const auto first = text.find_first_not_of(blank);
    return first == std::string_view::npos ? std::string_view()
                                           : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

/// What is given by mistake, before a JSON reader says of it what helps nobody.
void refuse_other_files(const std::string& where, std::string_view text) {
    if (text.empty()) {
        refuse(where, "is empty");
    }
    if (text.find("PRIVATE KEY-----") != std::string_view::npos) {
        refuse(where, "holds a private key, which must not leave its host");
    }
    if (text.find("BEGIN RSA PUBLIC KEY-----") != std::string_view::npos && !text.starts_with('{')) {
        refuse(where, "is a host file of tinc, which capsul exchanges in a form of its own");
    }
    if (!text.starts_with('{')) {
        refuse(where, "is not what a host of a VPN exports");
    }
    if (!text.ends_with('}')) {
        refuse(where, "is cut off: its end is missing", "have it written, or copied, once more");
    }
}

} // namespace

std::string bundle_text(const VpnBundle& bundle) {
    return dump_json(encode(bundle), 2) + '\n';
}

VpnBundle parse_bundle(const std::string& where, std::string_view text) {
    refuse_other_files(where, trimmed(text));
    try {
        return VpnBundle::from_text(text);
    } catch (const Error& error) {
        throw Error(error.code(), fmt::format("{}: {}", where, error.what()),
                    error.hint().empty() ? origin : error.hint());
    }
}

VpnBundle read_bundle(const char* option, const std::string& path) {
    const std::string text = read_input(option, path, most_bundle_bytes);
    return parse_bundle(fmt::format("{}: {}", option, path == "-" ? "standard input" : path), text);
}

} // namespace capsul::cli
