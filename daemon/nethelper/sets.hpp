// The elements of the packaged nftables sets (capsul.nft), by nfnetlink.
#pragma once

#include "daemon/nethelper/arguments.hpp"
#include "daemon/nethelper/array.hpp"
#include "daemon/nethelper/netlink.hpp"
#include "daemon/nethelper/values.hpp"

#include <algorithm>

namespace capsul::nethelper {

enum class Set : std::uint8_t { known4, known6, trunks, unpinned, full, dns_icmp, inside, allow4, allow6 };

inline constexpr std::array tap_sets{Set::known4, Set::known6, Set::trunks, Set::unpinned};
inline constexpr std::array bridge_sets{Set::full, Set::dns_icmp, Set::inside, Set::allow4, Set::allow6};

/// An element: its parts one after the other, each filled up to four bytes, the first one an interface's
/// name.
struct Element {
    using Key = std::array<std::byte, 40>;

    Set set = Set::known4;
    std::uint8_t size = 0;
    /// Of a set with ranges; equal to `key` otherwise.
    bool ranged = false;
    Key key{};
    Key key_end{};

    [[nodiscard]] Name interface() const;
    /// known4, known6: the address.
    [[nodiscard]] Address address() const;
    bool operator==(const Element&) const = default;
};

/// known4 or known6: what a TAP may send from.
[[nodiscard]] Element known(const Name& tap, const Mac& mac, const Address& address);
/// A TAP whose guest may send from any address, but only with this MAC.
[[nodiscard]] Element unpinned(const Name& tap, const Mac& mac);
/// trunks, full, dns_icmp: only a name.
[[nodiscard]] Element only_name(Set set, const Name& interface);
[[nodiscard]] Element inside(const Name& bridge);
/// allow4 or allow6.
[[nodiscard]] Element allowed(const Name& bridge, const Item& item);

/// Ends the program: what was asked for cannot be had without the tables.
[[noreturn]] void die_without_tables();

class Sets {
  public:
    Sets();

    /// 0, or ENOENT when the tables are not loaded, EPERM without cap_net_admin, EINTR when they changed
    /// meanwhile.
    [[nodiscard]] int list(std::span<const Set> sets, Array<Element>& elements);

    /// In one transaction: what `is_old` says of `sets` goes, `wanted` comes. When somebody else changed
    /// anything meanwhile, all over again. ENOENT when the tables are not loaded, EEXIST when ranges of
    /// `wanted` overlap in part; other errors end the program.
    template <class IsOld>
    [[nodiscard]] int replace(std::span<const Set> sets, const IsOld& is_old,
                              std::span<const Element> wanted) {
        Array<Element> old;
        for (unsigned attempt = 0; attempt < attempts; ++attempt) {
            const std::uint32_t generation = current_generation();
            int error = find(sets, is_old, old);
            if (error == 0) {
                error = change(generation, {old.begin(), old.end()}, wanted);
            }
            if (error != ERESTART && error != EINTR) {
                return known_error(error);
            }
        }
        die(Exit::kernel, "the nftables rules change all the time");
    }

  private:
    static constexpr unsigned attempts = 1000;

    /// The elements of which `is_old` is true, each once. While the kernel resizes a set, a list of it may
    /// have an element twice and leave another out, and says nothing of that: what one leaves out, a second
    /// one has.
    template <class IsOld>
    [[nodiscard]] int find(std::span<const Set> sets, const IsOld& is_old, Array<Element>& found) {
        found.clear();
        Array<Element> present;
        int error = 0;
        for (unsigned times = 0; times < 2 && error == 0; ++times) {
            error = list(sets, present);
            for (const Element& element : present) {
                if (std::find(found.begin(), found.end(), element) == found.end() && is_old(element)) {
                    found.push_back(element);
                }
            }
        }
        return error;
    }

    [[nodiscard]] static int known_error(int error);
    [[nodiscard]] std::uint32_t current_generation();
    [[nodiscard]] int change(std::uint32_t generation, std::span<const Element> old,
                             std::span<const Element> wanted);

    Netlink netlink_;
};

} // namespace capsul::nethelper
