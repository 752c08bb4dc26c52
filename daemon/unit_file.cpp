#include "daemon/unit_file.hpp"

#include "daemon/digest.hpp"
#include "lib/json.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::string_view seal_start = "# capsul sha256=";

bool is_plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-./:=,+@").find(c) != std::string_view::npos;
}

bool is_utf8(std::string_view text) {
    try {
        static_cast<void>(Json(text).dump());
        return true;
    } catch (const Json::exception&) {
        return false;
    }
}

void append_escaped(std::string& out, char c) {
    if (c == '\\' || c == '"') {
        out += '\\';
        out += c;
    } else if (c == '%' || c == '$') {
        out += c;
        out += c;
    } else if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') {
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
        out += c;
    }
}

/// The offset of the seal line, or npos.
std::size_t find_seal(std::string_view text) {
    const auto at = text.rfind(seal_start);
    const bool is_last_line = at != std::string_view::npos && (at == 0 || text[at - 1] == '\n') &&
                              text.find('\n', at) == text.size() - 1;
    return is_last_line ? at : std::string_view::npos;
}

} // namespace

std::string quote_exec_word(std::string_view word) {
    if (word.find('\0') != std::string_view::npos || !is_utf8(word)) {
        throw Error(ErrorCode::invalid, "a command line word holds a NUL or is not UTF-8");
    }
    if (!word.empty() && std::ranges::all_of(word, is_plain)) {
        return std::string(word);
    }
    std::string out = "\"";
    for (const char c : word) {
        append_escaped(out, c);
    }
    return out + '"';
}

std::string quote_exec_line(const std::vector<std::string>& argv) {
    std::string line;
    for (const std::string& word : argv) {
        line += (line.empty() ? "" : " ") + quote_exec_word(word);
    }
    return line;
}

std::string unit_path(const std::filesystem::path& path) {
    const std::string& text = path.native();
    if (!path.is_absolute() || !std::ranges::all_of(text, is_plain) ||
        text.find_first_of(":,=") != std::string::npos) {
        throw Error(ErrorCode::not_capable, fmt::format("'{}' cannot stand in a systemd unit", text),
                    "use a folder whose name has only letters, digits and . _ - + @");
    }
    return text;
}

std::string optional_bind_word(const std::filesystem::path& path) {
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; };
    if (!path.is_absolute() || !is_utf8(path.native()) || std::ranges::any_of(path.native(), is_control)) {
        throw Error(ErrorCode::invalid, "a path is not absolute, not UTF-8 or has a control character",
                    "give it another name");
    }
    std::string word = "\"-";
    for (const char c : path.native()) {
        word += c == '\\' || c == '"' ? "\\" : c == '%' ? "%" : "";
        word += c;
    }
    return word + '"';
}

std::string seal(std::string text) {
    const std::string digest = sha256_hex(text);
    return fmt::format("{}{}{}\n", text, seal_start, digest);
}

SealState check_seal(std::string_view text) {
    const auto at = find_seal(text);
    if (at == std::string_view::npos) {
        return SealState::torn;
    }
    return seal(std::string(text.substr(0, at))) == text ? SealState::whole : SealState::edited;
}

} // namespace capsul
