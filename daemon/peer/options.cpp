#include "daemon/peer/options.hpp"

#include "lib/error.hpp"

#include <charconv>
#include <map>
#include <stdexcept>

namespace capsul::peer {
namespace {

namespace fs = std::filesystem;

Options::Command command_of(const std::vector<std::string>& words) {
    if (!words.empty() && words[0] == "sync") {
        return Options::Command::sync;
    }
    if (!words.empty() && words[0] == "invite") {
        return Options::Command::invite;
    }
    if (!words.empty() && words[0] == "check") {
        return Options::Command::check;
    }
    throw std::invalid_argument("the first word is sync, invite or check");
}

std::chrono::seconds interval_of(const std::string& text) {
    constexpr int longest = 86'400;
    int seconds = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, seconds);
    if (error != std::errc() || rest != end || seconds < 1 || seconds > longest) {
        throw std::invalid_argument("--interval takes seconds, from 1 to 86400");
    }
    return std::chrono::seconds(seconds);
}

VpnAddress listen_address(const std::string& text) {
    try {
        VpnAddress address = VpnAddress::parse(text);
        (void)IpAddress::parse(address.host());
        return address;
    } catch (const Error&) {
        throw std::invalid_argument("--listen takes an IP address and a port, not \"" + text + "\"");
    }
}

/// The options after the command, each with a value.
class Values {
  public:
    explicit Values(const std::vector<std::string>& words) {
        for (std::size_t i = 1; i < words.size(); i += 2) {
            if (i + 1 == words.size()) {
                throw std::invalid_argument(words[i] + " has no value");
            }
            values_[words[i]] = words[i + 1];
        }
    }
    std::string take(const std::string& option, const std::string& otherwise = {}) {
        const auto found = values_.extract(option);
        if (found.empty() && otherwise.empty()) {
            throw std::invalid_argument(option + " is missing");
        }
        return found.empty() ? otherwise : found.mapped();
    }
    void expect_no_more() const {
        if (!values_.empty()) {
            throw std::invalid_argument("there is no option " + values_.begin()->first);
        }
    }

  private:
    std::map<std::string, std::string> values_;
};

} // namespace

Options parse_options(const std::vector<std::string>& words) {
    Options options;
    options.command = command_of(words);
    Values values(words);
    options.folder = values.take("--folder");
    if (options.command == Options::Command::invite) {
        options.hosts = values.take("--hosts");
        options.invitation = values.take("--invitation");
    } else {
        options.identity = values.take("--identity");
        options.listen = listen_address(values.take("--listen"));
    }
    if (options.command == Options::Command::sync) {
        options.status = values.take("--status");
        options.interval = interval_of(values.take("--interval", "30"));
    }
    if (options.command == Options::Command::check) {
        options.result = values.take("--result");
    }
    values.expect_no_more();
    return options;
}

} // namespace capsul::peer
