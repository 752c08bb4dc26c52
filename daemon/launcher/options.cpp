#include "daemon/launcher/options.hpp"

#include <algorithm>
#include <stdexcept>

namespace capsul::launcher {
namespace {

void require_absolute(const std::string& path, const std::string& what) {
    if (!path.starts_with('/')) {
        throw std::invalid_argument(what + " takes an absolute path, not \"" + path + "\"");
    }
}

void take_net(Options& options, const std::string& kind) {
    if (kind == "user") {
        options.internet = true;
    } else if (kind == "tap") {
        options.taps = true;
    } else {
        throw std::invalid_argument("--net takes user or tap, not \"" + kind + "\"");
    }
}

void take(Options& options, const std::string& option, const std::string& value) {
    if (option == "--net") {
        take_net(options, value);
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
        if (*word == "--check") {
            options.check = true;
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
