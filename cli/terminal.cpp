#include "cli/terminal.hpp"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace capsul::cli {
namespace {

std::string_view environment(const char* name) {
    const char* value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): nobody sets it
    return value == nullptr ? std::string_view{} : value;
}

/// How long the character is that `lead` begins; 0 when none begins so (RFC 3629).
std::size_t sequence_length(unsigned char lead) {
    if (lead < 0x80) {
        return 1;
    }
    if (lead >= 0xc2 && lead <= 0xdf) {
        return 2;
    }
    if (lead >= 0xe0 && lead <= 0xef) {
        return 3;
    }
    return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

/// The character at the start of `text` and its length; nothing when that is not UTF-8.
std::optional<std::pair<char32_t, std::size_t>> first_character(std::string_view text) {
    const auto lead = static_cast<unsigned char>(text[0]);
    const std::size_t length = sequence_length(lead);
    if (length == 0 || text.size() < length) {
        return std::nullopt;
    }
    char32_t character = length == 1 ? lead : lead & (0x7fU >> length);
    for (std::size_t i = 1; i < length; ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if ((byte & 0xc0U) != 0x80U) {
            return std::nullopt;
        }
        character = (character << 6U) | (byte & 0x3fU);
    }
    constexpr std::array<char32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = character >= 0xd800 && character <= 0xdfff;
    if (character < smallest[length] || character > 0x10ffff || surrogate) {
        return std::nullopt;
    }
    return std::pair{character, length};
}

bool is_harmful(char32_t c) {
    const bool control = c < 0x20 || (c >= 0x7f && c <= 0x9f);
    const bool reorders =
        c == 0x200e || c == 0x200f || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
    const bool breaks_lines = c == 0x2028 || c == 0x2029;
    return control || reorders || breaks_lines;
}

bool is_sgr_body(char c) {
    return (c >= '0' && c <= '9') || c == ';' || c == ':';
}

} // namespace

bool is_terminal(int fd) {
    return ::isatty(fd) == 1;
}

bool can_ask() {
    return is_terminal(STDIN_FILENO) && is_terminal(STDERR_FILENO);
}

bool is_smart_terminal(int fd) {
    return is_terminal(fd) && !environment("TERM").empty() && environment("TERM") != "dumb";
}

bool use_color(Color wanted, int fd) {
    if (wanted != Color::automatic) {
        return wanted == Color::always;
    }
    if (!environment("NO_COLOR").empty()) {
        return false;
    }
    if (const auto force = environment("CLICOLOR_FORCE"); !force.empty() && force != "0") {
        return true;
    }
    return is_smart_terminal(fd);
}

std::optional<unsigned> terminal_width(int fd) {
    winsize size{};
    if (::ioctl(fd, TIOCGWINSZ, &size) != 0 ||
        size.ws_col == 0) { // NOLINT(cppcoreguidelines-pro-type-vararg)
        return is_terminal(fd) ? std::optional<unsigned>(80) : std::nullopt;
    }
    return size.ws_col;
}

std::string printable(std::string_view text, bool keep_lines) {
    std::string out;
    while (!text.empty()) {
        const auto first = first_character(text);
        if (!first) {
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
            text.remove_prefix(1);
            continue;
        }
        const auto [character, length] = *first;
        if (keep_lines && (character == '\n' || character == '\t')) {
            out += text[0];
        } else if (!is_harmful(character)) {
            out += text.substr(0, length);
        } else if (character < 0x80) {
            out += fmt::format("\\x{:02x}", static_cast<unsigned>(character));
        } else {
            out += fmt::format("\\u{:04x}", static_cast<unsigned>(character));
        }
        text.remove_prefix(length);
    }
    return out;
}

void LogFilter::release(std::string& out) {
    if (pending_ == "\n" && !rendition_.empty()) {
        out += plain_rendition;
        rendition_.clear();
    }
    if (pending_ != "\r") { // a carriage return before a newline is how consoles end a line
        out += printable(pending_, true);
    }
    pending_.clear();
}

void LogFilter::take_rendition(std::string& out) {
    constexpr std::size_t longest = 256; // a guest may send any number of them
    out += pending_;
    const bool ends_all = pending_.find_first_not_of("0;", 2) == pending_.size() - 1;
    if (ends_all || rendition_.size() > longest) {
        rendition_.clear();
    }
    rendition_ += ends_all ? std::string() : pending_;
    pending_.clear();
}

void LogFilter::take(char byte, std::string& out) {
    const bool in_escape = pending_.starts_with('\x1b');
    if (in_escape && pending_.size() >= 2 && byte == 'm') {
        pending_ += byte;
        take_rendition(out);
        return;
    }
    const bool goes_on =
        in_escape && pending_.size() < 32 && (pending_.size() == 1 ? byte == '[' : is_sgr_body(byte));
    const bool continues = !pending_.empty() && !in_escape && pending_ != "\r" &&
                           (static_cast<unsigned char>(byte) & 0xc0U) == 0x80U;
    if (!goes_on && !continues && !pending_.empty()) {
        release(out);
    }
    pending_ += byte;
    const bool held = byte == '\r' || pending_.starts_with('\x1b') ||
                      pending_.size() < sequence_length(static_cast<unsigned char>(pending_[0]));
    if (!held) {
        release(out);
    }
}

std::string LogFilter::filter(std::string_view piece) {
    const std::string before = rendition_;
    std::string out;
    for (const char byte : piece) {
        take(byte, out);
    }
    if (out.empty()) {
        return out;
    }
    return before + out.append(rendition_.empty() ? std::string_view() : plain_rendition);
}

std::string LogFilter::finish() {
    std::string out;
    release(out);
    return out;
}

} // namespace capsul::cli
