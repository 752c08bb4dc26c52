#include "lib/vm.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace capsul {
namespace {

constexpr std::array<std::string_view, 7> key_types{"ssh-ed25519",
                                                    "ssh-rsa",
                                                    "ecdsa-sha2-nistp256",
                                                    "ecdsa-sha2-nistp384",
                                                    "ecdsa-sha2-nistp521",
                                                    "sk-ssh-ed25519@openssh.com",
                                                    "sk-ecdsa-sha2-nistp256@openssh.com"};

bool is_base64(std::string_view text) {
    return text.size() >= 16 && std::ranges::all_of(text, [](char c) {
               return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '+' || c == '/' || c == '=';
           });
}

bool is_control(char c) {
    return static_cast<unsigned char>(c) < ' ' || c == '\x7f';
}

std::string_view trim(std::string_view text) {
    const auto first = text.find_first_not_of(" \t\r");
    const auto last = text.find_last_not_of(" \t\r");
    return first == std::string_view::npos ? std::string_view{} : text.substr(first, last - first + 1);
}

} // namespace

CpuCount CpuCount::from_number(int count) {
    if (count < 1 || count > most) {
        throw Error(ErrorCode::invalid, fmt::format("{} is not a number of CPUs", count),
                    "from 1 to 255 are possible");
    }
    CpuCount result;
    result.count_ = count;
    return result;
}

SshKey SshKey::parse(std::string_view text) {
    const std::string_view line = trim(text);
    const auto first_space = line.find(' ');
    const std::string_view type = line.substr(0, first_space);
    const std::string_view rest = first_space == std::string_view::npos ? "" : trim(line.substr(first_space));
    const bool ok = std::ranges::find(key_types, type) != key_types.end() &&
                    is_base64(rest.substr(0, rest.find(' '))) && line.size() <= 16384 &&
                    std::ranges::none_of(line, is_control);
    if (!ok) {
        throw Error(ErrorCode::invalid, "not an SSH public key",
                    "a key is one line such as 'ssh-ed25519 AAAA… comment': the .pub file, without options");
    }
    SshKey key;
    key.text_ = line;
    return key;
}

std::vector<SshKey> parse_ssh_keys(std::string_view file) {
    std::vector<SshKey> keys;
    int number = 0;
    while (!file.empty()) {
        const auto end = file.find('\n');
        const std::string_view line = trim(file.substr(0, end));
        file = end == std::string_view::npos ? std::string_view{} : file.substr(end + 1);
        ++number;
        if (line.empty() || line.front() == '#') {
            continue;
        }
        try {
            keys.push_back(SshKey::parse(line));
        } catch (const Error& error) {
            throw Error(error.code(), fmt::format("line {}: {}", number, error.what()), error.hint());
        }
    }
    return keys;
}

std::string vm_unit_name(const Name& name) {
    return "capsul-vm-" + name.to_string() + ".service";
}

bool has_user_nic(const VmRecord& vm) {
    return std::ranges::any_of(vm.nics, [](const Nic& nic) { return is_user_network(nic.network); });
}

bool has_taps(const VmRecord& vm) {
    return std::ranges::any_of(vm.nics, [](const Nic& nic) { return nic.tap.has_value(); });
}

bool is_relayed(const VmRecord& vm) {
    return !vm.publish.empty() && !has_user_nic(vm);
}

std::vector<Name> networks_of(const VmRecord& vm) {
    std::vector<Name> names;
    for (const Nic& nic : vm.nics) {
        if (nic.tap && std::ranges::find(names, nic.network) == names.end()) {
            names.push_back(nic.network);
        }
    }
    return names;
}

std::optional<Name> vm_of_unit(std::string_view unit) {
    return name_in_unit(unit, "capsul-vm-");
}

std::string tap_unit_name(const Name& vm) {
    return fmt::format("capsul-tap-{}.service", vm.to_string());
}

std::string publish_socket_name(const Name& vm) {
    return fmt::format("capsul-publish-{}.socket", vm.to_string());
}

std::string publish_service_name(const Name& vm) {
    return fmt::format("capsul-publish-{}.service", vm.to_string());
}

bool label_matches(const Labels& labels, std::string_view selector) {
    const auto equals = selector.find('=');
    const auto found = labels.find(std::string(selector.substr(0, equals)));
    return found != labels.end() &&
           (equals == std::string_view::npos || found->second == selector.substr(equals + 1));
}

} // namespace capsul
