#include "daemon/catalogue/clearsigned.hpp"

#include "daemon/catalogue/lines.hpp"
#include "lib/error.hpp"

namespace capsul {
namespace {

constexpr std::string_view message_begin = "-----BEGIN PGP SIGNED MESSAGE-----";
constexpr std::string_view signature_begin = "-----BEGIN PGP SIGNATURE-----";
constexpr std::string_view signature_end = "-----END PGP SIGNATURE-----";

[[noreturn]] void refuse(const char* why) {
    throw Error(ErrorCode::invalid, std::string("not a clearsigned text: ") + why);
}

std::string_view next_line(std::string_view& rest) {
    const auto line = take_line(rest);
    if (!line) {
        refuse("it is cut off");
    }
    return *line;
}

/// "Hash: SHA512" and such, until the empty line.
void skip_headers(std::string_view& rest) {
    constexpr std::string_view allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-, ";
    constexpr std::string_view hash = "Hash: ";
    for (std::string_view line = next_line(rest); !line.empty(); line = next_line(rest)) {
        if (!line.starts_with(hash) ||
            line.substr(hash.size()).find_first_not_of(allowed) != std::string_view::npos) {
            refuse("it has a header that is not known");
        }
    }
}

void check_signature(std::string_view rest) {
    while (next_line(rest) != signature_end) {
    }
    if (rest.find_first_not_of(" \t\r\n") != std::string_view::npos) {
        refuse("there is something behind its signature");
    }
}

} // namespace

bool is_clearsigned(std::string_view text) {
    return text.starts_with(message_begin);
}

std::string clearsigned_text(std::string_view text) {
    std::string_view rest = text;
    if (next_line(rest) != message_begin) {
        refuse("something stands before it");
    }
    skip_headers(rest);
    std::string inside;
    for (std::string_view line = next_line(rest); line != signature_begin; line = next_line(rest)) {
        if (line.starts_with("- ")) {
            line.remove_prefix(2);
        } else if (line.starts_with('-')) {
            refuse("it has a line that begins with a hyphen");
        }
        inside += line;
        inside += '\n';
    }
    check_signature(rest);
    return inside;
}

std::string without_signature(std::string_view text) {
    return is_clearsigned(text) ? clearsigned_text(text) : std::string(text);
}

} // namespace capsul
