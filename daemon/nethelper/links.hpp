// The network interfaces of the host, as rtnetlink(7) tells and changes them.
#pragma once

#include "daemon/nethelper/array.hpp"
#include "daemon/nethelper/link.hpp"
#include "daemon/nethelper/netlink.hpp"
#include "daemon/nethelper/values.hpp"

#include <optional>

namespace capsul::nethelper {

/// How a port of a bridge treats frames: of a guest (locked: it sends from the MAC that is fixed to it, and
/// from no other), or of a trunk, behind which there are many. One that does not learn gets no frame that is
/// for a single MAC, but for the one that is fixed to it.
struct Port {
    bool locked = true;
    bool isolated = false;
    bool learning = false;

    [[nodiscard]] bool is_in_force(const Link& link) const {
        return link.locked == locked && link.learning == learning && link.isolated == isolated;
    }
};

struct FdbEntry {
    int index = 0;
    Mac mac{};
};

/// What fails otherwise than documented ends the program (Exit::kernel).
class Links {
  public:
    Links();

    [[nodiscard]] std::optional<Link> find(const Name& name);
    [[nodiscard]] std::optional<Link> find(int index);
    /// Of one that is sure to be there; ends the program when it is not.
    [[nodiscard]] int index_of(const Name& name);
    void list(Array<Link>& links);
    void list_addresses(Array<InterfaceAddress>& addresses);
    /// The MACs that were fixed to ports, of one bridge or (0) of all.
    void list_fixed_macs(int bridge, Array<FdbEntry>& entries);
    /// Whether the bridge knows the MAC, fixed or learnt.
    [[nodiscard]] bool knows_mac(int bridge, const Mac& mac);

    /// Without alias and down. EEXIST when there is such a name.
    [[nodiscard]] int create_bridge(const Name& name, const Mac& mac);
    /// Marks it as `owner`'s, STP and multicast snooping off, up.
    void configure_bridge(int index, uid_t owner);
    /// Marks it as `owner`'s; no IPv6 link-local address; plugged in when `bridge` is not 0: EXFULL for one
    /// too many.
    [[nodiscard]] int configure_tap(int index, uid_t owner, const Mac& mac, unsigned mtu, int bridge);
    /// What a port has learnt that does not learn is forgotten.
    void set_port(int index, const Port& port);
    /// EEXIST when the bridge knows it.
    [[nodiscard]] int fix_mac(int port, const Mac& mac);
    void forget_mac(int port, const Mac& mac);
    void set_up(int index);
    void set_down(int index);
    void remove(int index);
    /// EEXIST when it is there.
    [[nodiscard]] int add_address(int index, const Cidr& address);
    void remove_address(int index, const Cidr& address);

  private:
    [[nodiscard]] std::optional<Link> find_one(Messages& question);
    template <class T>
    void list_all(Messages& question, Array<T>& result, bool (*read)(const Message&, T&));
    [[nodiscard]] int without_link_local(int index);
    void require(Messages& message, const char* what);

    Netlink netlink_;
};

} // namespace capsul::nethelper
