#include "daemon/admission.hpp"

#include "lib/error.hpp"

#include <algorithm>
#include <cerrno>
#include <fmt/format.h>
#include <grp.h>
#include <sys/socket.h>

namespace capsul {
namespace {

gid_t find_group(const std::string& name) {
    std::vector<char> buffer(std::size_t{1} << 20U);
    group entry{};
    group* found = nullptr;
    const int failure = ::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
    if (failure != 0) {
        throw_errno(failure, "group '" + name + "'");
    }
    if (found == nullptr) {
        throw Error(ErrorCode::invalid, "server.group: there is no group '" + name + "'",
                    "make it with groupadd, or correct capsuld.toml");
    }
    return entry.gr_gid;
}

std::vector<gid_t> groups_of(int socket) {
    std::vector<gid_t> groups(64);
    while (true) {
        auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
        const int failure =
            ::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) == 0 ? 0 : errno;
        if (failure != 0 && failure != ERANGE) {
            throw_errno(failure, "SO_PEERGROUPS");
        }
        groups.resize(size / sizeof(gid_t));
        if (failure == 0) {
            return groups;
        }
    }
}

} // namespace

Peer Peer::of(int socket) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
        throw_errno(errno, "SO_PEERCRED");
    }
    Peer peer{credentials.uid, groups_of(socket)};
    peer.groups.push_back(credentials.gid);
    return peer;
}

Admission::Admission(uid_t owner, const std::string& group, Limits limits) : owner_(owner), limits_(limits) {
    if (!group.empty()) {
        group_ = find_group(group);
    }
}

Admission::Place Admission::admit(const Peer& peer) {
    if (!may_call(peer)) {
        throw Error(ErrorCode::denied, fmt::format("user {} may not use this capsuld", peer.uid),
                    "its owner can name a group in capsuld.toml: server.group");
    }
    std::size_t& of_user = counts_->by_user[peer.uid];
    if (counts_->total >= limits_.total || of_user >= limits_.per_user) {
        throw Error(ErrorCode::busy, "too many connections at once",
                    "close some, or raise the limits in capsuld.toml");
    }
    ++counts_->total;
    ++of_user;
    return {counts_.get(), [counts = counts_, uid = peer.uid](void*) {
                --counts->total;
                if (--counts->by_user[uid] == 0) {
                    counts->by_user.erase(uid);
                }
            }};
}

bool Admission::may_call(const Peer& peer) const {
    return peer.uid == 0 || peer.uid == owner_ || (group_ && std::ranges::count(peer.groups, *group_) > 0);
}

} // namespace capsul
