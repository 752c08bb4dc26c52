#include "daemon/dhcp/options.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <net/if.h>
#include <stdexcept>

namespace capsul::dhcp {
namespace {

std::string parse_interface(const std::string& text) {
    if (text.empty() || text.size() >= IFNAMSIZ || text.find_first_of("/ \t\n") != std::string::npos) {
        throw std::invalid_argument("\"" + text + "\" is not the name of an interface");
    }
    return text;
}

Prefix parse_prefix(const std::string& text) {
    const auto slash = text.find('/');
    const std::string address = text.substr(0, slash);
    const std::string length = slash == std::string::npos ? "" : text.substr(slash + 1);
    Prefix prefix;
    prefix.family = address.find(':') == std::string::npos ? AF_INET : AF_INET6;
    const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), prefix.length);
    if (::inet_pton(prefix.family, address.c_str(), prefix.bytes.data()) != 1 || error != std::errc{} ||
        end != length.data() + length.size() || prefix.length > prefix.size() * 8) {
        throw std::invalid_argument("--address takes an address and a length, such as 10.80.0.1/24, not \"" +
                                    text + "\"");
    }
    return prefix;
}

/// Six pairs of digits with colons between them, of one interface.
Mac parse_mac(const std::string& text) {
    Mac mac{};
    bool good = text.size() == mac.size() * 3 - 1;
    for (std::size_t i = 0; good && i < mac.size(); ++i) {
        const char* const digits = text.data() + i * 3;
        const auto [end, error] = std::from_chars(digits, digits + 2, mac[i], 16);
        good = error == std::errc{} && end == digits + 2 && (i == 0 || digits[-1] == ':');
    }
    if (!good || (mac[0] & 1U) != 0) {
        throw std::invalid_argument(
            "--mac takes the MAC of one interface, such as 02:00:00:00:00:01, not \"" + text + "\"");
    }
    return mac;
}

unsigned parse_mtu(const std::string& text) {
    constexpr unsigned least = 576;
    constexpr unsigned most = 1500; // what a frame here has room for
    unsigned mtu = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), mtu);
    if (error != std::errc{} || end != text.data() + text.size() || mtu < least || mtu > most) {
        throw std::invalid_argument("--mtu takes a number from 576 to 1500, not \"" + text + "\"");
    }
    return mtu;
}

void add_address(Options& options, const std::string& text) {
    const Prefix prefix = parse_prefix(text);
    if (std::ranges::find(options.addresses, prefix.family, &Prefix::family) != options.addresses.end()) {
        throw std::invalid_argument("--address is given twice for one family");
    }
    options.addresses.push_back(prefix);
}

void take(Options& options, const std::string& option, const std::string& value) {
    if (option == "--bridge") {
        options.bridge = parse_interface(value);
    } else if (option == "--mac") {
        options.mac = parse_mac(value);
    } else if (option == "--mtu") {
        options.mtu = parse_mtu(value);
    } else if (option == "--trunk") {
        options.trunk = parse_interface(value);
    } else if (option == "--address") {
        add_address(options, value);
    } else if (option == "--ro") {
        options.read_only.push_back(value);
    } else {
        throw std::invalid_argument("there is no option " + option);
    }
}

} // namespace

Options parse_options(const std::vector<std::string>& words) {
    Options options;
    const auto separator = std::ranges::find(words, "--");
    for (auto word = words.begin(); word != separator; ++word) {
        const std::string& option = *word;
        if (++word == separator) {
            throw std::invalid_argument(option + " has no value");
        }
        take(options, option, *word);
    }
    if (options.trunk.empty() || options.addresses.empty()) {
        throw std::invalid_argument("--trunk and --address are needed");
    }
    if (options.bridge.empty() != options.mac.has_value()) {
        throw std::invalid_argument("either --bridge or --mac is needed");
    }
    if (separator == words.end() || separator + 1 == words.end() || !(separator + 1)->starts_with('/')) {
        throw std::invalid_argument("after -- comes the absolute path of a program");
    }
    options.command.assign(separator + 1, words.end());
    return options;
}

} // namespace capsul::dhcp
