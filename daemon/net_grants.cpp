#include "daemon/net_grants.hpp"

#include "daemon/process.hpp"

#include <filesystem>
#include <fmt/format.h>
#include <sstream>
#include <unistd.h>

namespace capsul {
namespace {

using namespace std::chrono_literals;

std::string how_to(const std::filesystem::path& helper) {
    return fmt::format("an administrator runs `{}` once; `capsulctl doctor` tells what is missing",
                       host_setup_command(helper));
}

void add_line(NetGrants& grants, const std::string& line) {
    std::istringstream words(line);
    std::string uid;
    std::string kind;
    std::string what;
    std::string value;
    words >> uid >> kind >> what >> value;
    if (kind == "prefix") {
        grants.prefix = what;
    } else if (kind == "bridge") {
        grants.own_bridges = true;
    } else if (kind == "tap" && what != "own") {
        grants.bridges.push_back(InterfaceName::parse(what));
    } else if (kind == "ip") {
        grants.addresses.emplace_back(InterfaceName::parse(what), Cidr::parse(value));
    } else if (kind == "subnet") {
        grants.subnets.push_back(Cidr::parse(value));
    } else if (kind == "nat") {
        grants.nat = true;
    } else if (kind != "tap") {
        throw Error(ErrorCode::internal, fmt::format("capsul-net grants something unknown: '{}'", line));
    }
}

} // namespace

std::string host_setup_command(const std::filesystem::path& helper) {
    // PREFIX/libexec/capsul/capsul-net
    const auto prefix = helper.parent_path().parent_path().parent_path();
    return "sudo " + (prefix / "share/capsul/host-setup.sh").string();
}

NetGrants parse_net_grants(std::string_view text) {
    NetGrants grants;
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
        if (!line.empty()) {
            add_line(grants, line);
        }
    }
    return grants;
}

NetGrants read_net_grants(const std::filesystem::path& helper) {
    if (::access(helper.c_str(), X_OK) != 0) {
        throw Error(
            ErrorCode::not_capable,
            fmt::format("{} is not there, or you are not in the group that may run it", helper.string()),
            how_to(helper));
    }
    const ProcessResult result = run_process({helper.string(), "check-policy"}, 5s);
    if (result.status != 0) {
        throw Error(ErrorCode::not_capable, result.err.substr(0, result.err.find('\n')), how_to(helper));
    }
    NetGrants grants = parse_net_grants(result.out);
    if (grants.prefix.empty()) {
        throw Error(ErrorCode::not_capable, "/etc/capsul/net.policy grants this user no network",
                    how_to(helper));
    }
    return grants;
}

} // namespace capsul
