#include "daemon/peer/visitors.hpp"

#include <algorithm>
#include <chrono>
#include <sys/socket.h>
#include <system_error>
#include <thread>

namespace capsul::peer {
namespace {

constexpr auto penalty = std::chrono::seconds(1);
constexpr auto cut_off_limit = std::chrono::seconds(1);

/// Whoever has one IPv6 address has all of its /64.
IpAddress origin_of(const IpAddress& address) {
    return address.is_ipv6() ? Cidr::around(address, 64).first() : address;
}

} // namespace

Visitors::Visitors(std::size_t at_once, std::size_t each, Serve serve)
    : at_once_(at_once), each_(each), serve_(std::move(serve)) {}

void Visitors::admit(UniqueFd socket, const IpAddress& from) {
    std::unique_lock lock(mutex_);
    const IpAddress origin = origin_of(from);
    // Those who are cut off are there for a moment longer. Whoever comes meanwhile waits in the kernel's
    // queue.
    changed_.wait_for(lock, cut_off_limit, [&] { return visitors_.size() < 2 * at_once_; });
    if (!has_place(origin)) {
        return;
    }
    visitors_.push_back(Visitor(std::move(socket), origin));
    try {
        std::thread(&Visitors::attend, this, std::prev(visitors_.end())).detach();
    } catch (const std::system_error&) {
        visitors_.pop_back(); // no more threads: as if there was no place
    }
}

bool Visitors::has_place(const IpAddress& from) {
    const auto comes_from_there = [&](const Visitor& one) { return !one.cut_off_ && one.from_ == from; };
    const auto same = std::ranges::count_if(visitors_, comes_from_there);
    if (std::cmp_greater_equal(same, each_) || visitors_.size() >= 2 * at_once_) {
        return false;
    }
    const auto here = std::ranges::count_if(visitors_, [](const Visitor& one) { return !one.cut_off_; });
    if (std::cmp_less(here, at_once_)) {
        return true;
    }
    const auto first =
        std::ranges::find_if(visitors_, [](const Visitor& one) { return !one.settled_ && !one.cut_off_; });
    if (first == visitors_.end()) {
        return false;
    }
    first->cut_off_ = true;
    ::shutdown(first->socket(), SHUT_RDWR); // which wakes its thread
    changed_.notify_all();
    return true;
}

void Visitors::attend(List::iterator visitor) {
    const bool is_ours = serve_(*visitor);
    std::unique_lock lock(mutex_);
    ::shutdown(visitor->socket(), SHUT_RDWR);
    if (!is_ours) {
        changed_.wait_for(lock, penalty, [&] { return visitor->cut_off_; });
    }
    visitors_.erase(visitor);
    changed_.notify_all();
}

void Visitors::settle(const Visitor& visitor) {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find_if(visitors_, [&](const Visitor& one) { return &one == &visitor; });
    found->settled_ = true;
}

} // namespace capsul::peer
