#include "lib/image_source.hpp"

#include "lib/error.hpp"
#include "lib/one_line.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {

SignatureForm SignatureForm::parse(std::string_view text) {
    constexpr std::size_t longest = 16;
    const bool is_suffix = text.starts_with('.') && text.size() > 1 && text.size() <= longest &&
                           is_plain_file_name("x" + std::string(text));
    if (text != clearsigned && !is_suffix) {
        throw Error(ErrorCode::invalid, fmt::format("'{}' is no form of signature", one_line(text, 40)),
                    "write clearsigned, or the end of the signature's name, such as .asc, .sig or .gpg");
    }
    return SignatureForm(std::string(text));
}

KeyringPath KeyringPath::parse(std::string_view text) {
    constexpr std::size_t longest = 1024;
    const bool is_plain = std::ranges::all_of(text, [](char c) { return c >= ' ' && c != '\x7f'; });
    const bool goes_up = (std::string(text) + "/").find("/../") != std::string::npos;
    if (!text.starts_with('/') || text.size() > longest || !is_plain || goes_up) {
        throw Error(ErrorCode::invalid, fmt::format("'{}' is not the path of a keyring", one_line(text, 60)),
                    "write the absolute path of a file with public keys, such as /etc/capsul/keys/own.gpg");
    }
    return KeyringPath(std::string(text));
}

} // namespace capsul
