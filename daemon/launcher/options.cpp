#include "daemon/launcher/options.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <linux/if.h>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace capsul::launcher {
namespace {

void require_absolute(const std::string& path, const std::string& what) {
    if (!path.starts_with('/')) {
        throw std::invalid_argument(what + " takes an absolute path, not \"" + path + "\"");
    }
}

void take_net(Options& options, const std::string& kind) {
    if (kind != "user") {
        throw std::invalid_argument("--net takes user, not \"" + kind + "\"");
    }
    options.internet = true;
}

void take_tap(Options& options, const std::string& text) {
    constexpr int first = 3; // after the standard streams
    Tap tap;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, tap.descriptor);
    if (error == std::errc() && rest != end && *rest == '=') {
        tap.name.assign(rest + 1, end);
    }
    if (tap.descriptor < first || tap.name.empty() || tap.name.size() >= IFNAMSIZ) {
        throw std::invalid_argument("--tap takes a descriptor from 3 on and a TAP, as in 10=tap0, not \"" +
                                    text + "\"");
    }
    options.taps.push_back(std::move(tap));
}

bool take_flag(Options& options, const std::string& word) {
    constexpr std::array<std::pair<std::string_view, bool Options::*>, 3> flags{
        {{"--check", &Options::check}, {"--children", &Options::children}, {"--tun", &Options::tun}}};
    for (const auto& [name, flag] : flags) {
        if (word == name) {
            options.*flag = true;
            return true;
        }
    }
    return false;
}

void take(Options& options, const std::string& option, const std::string& value) {
    if (option == "--net") {
        take_net(options, value);
        return;
    }
    if (option == "--tap") {
        take_tap(options, value);
        return;
    }
    if (option != "--ro" && option != "--rw") {
        throw std::invalid_argument("there is no option " + option);
    }
    require_absolute(value, option);
    (option == "--ro" ? options.read_only : options.writable).push_back(value);
}

} // namespace

Options parse_options(const std::vector<std::string>& words) {
    Options options;
    const auto separator = std::ranges::find(words, "--");
    for (auto word = words.begin(); word != separator; ++word) {
        if (take_flag(options, *word)) {
            continue;
        }
        const std::string& option = *word;
        if (++word == separator) {
            throw std::invalid_argument(option + " has no value");
        }
        take(options, option, *word);
    }
    if (separator != words.end()) {
        options.command.assign(separator + 1, words.end());
    }
    if (options.command.empty() != options.check) {
        throw std::invalid_argument("either --check, or -- and a program");
    }
    if (!options.check) {
        require_absolute(options.command.front(), "--");
    }
    return options;
}

} // namespace capsul::launcher
