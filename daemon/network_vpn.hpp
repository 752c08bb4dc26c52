// VPNs: their keys, what is known of other hosts, the files of tincd and of what tells other hosts, and their
// units; kept to what the records of networks and VMs say.
//
//     identity.key          Ed25519, and tinc/rsa_key.priv, which tincd has: made once, for good
//     peers/NODE.toml       what another host has said of itself
//     tinc/                 made of those
//     peer/bundle.json      what this host tells the others
//     peer/inbox/           what others have told and is not taken in yet
#pragma once

#include "daemon/folder_watch.hpp"
#include "daemon/network_dhcp.hpp"
#include "daemon/store.hpp"
#include "daemon/systemd_client.hpp"
#include "daemon/user_units.hpp"
#include "daemon/vpn_book.hpp"
#include "lib/join_code.hpp"
#include "lib/network.hpp"
#include "lib/vpn_check.hpp"

#include <mutex>
#include <set>

namespace capsul {

struct SyncStatus;

/// Whether tinc is installed.
[[nodiscard]] bool has_tincd();

/// Refuses (not_capable) a host without tincd or dnsmasq.
void require_vpn_programs();

/// Thread-safe.
class NetworkVpn {
  public:
    /// `programs` is the folder of capsul's own programs.
    NetworkVpn(const Paths& paths, const fs::path& programs, Store& store, SystemdClient& systemd,
               NetworkDhcp& dhcp)
        : paths_(paths), programs_(programs), store_(store), systemd_(systemd), dhcp_(dhcp), units_(paths) {}

    /// Makes the keys of a new network and puts the public ones into its record.
    void make_keys(NetworkRecord& network) const;
    /// What is known of the others; a file that cannot be read is passed over.
    [[nodiscard]] VpnBook book(const NetworkRecord& network) const;
    /// Makes the others that are known those of the book. The record has the revoked ones.
    void save_book(const NetworkRecord& network, const VpnBook& book);
    /// What this host tells others; `slice`: that of whom it is for.
    [[nodiscard]] VpnBundle bundle(const NetworkRecord& network);

    /// As it is shown; `tunnel` is the state of tincd.
    [[nodiscard]] VpnStatus status(const NetworkRecord& network, NetworkState tunnel) const;

    /// Makes what is on disk match the record, and what runs match that. Without a VPN: nothing.
    void write_files(const NetworkRecord& network);
    /// The VMs' NICs on these networks have changed.
    void nics_changed(const std::vector<Name>& networks);
    /// Throws Error (internal), with what the unit said, when one does not come up.
    void start(const NetworkRecord& network);
    void stop(const Name& network);
    void remove_units(const Name& network);
    /// Has what there is to tell exchanged now.
    void tell(const Name& network);

    /// What others have sent and is not taken in yet.
    struct Heard {
        fs::path file; ///< whoever has taken it in removes it
        VpnBundle bundle;
    };
    [[nodiscard]] std::vector<Heard> heard(const Name& network) const;
    /// Nobody who has the code of the one that is open gets in any more.
    void end_invitation(const Name& network) const;
    /// Whether one is open.
    [[nodiscard]] bool is_inviting(const Name& network) const;
    /// Opens one: listens on its port until it expires.
    void invite(const NetworkRecord& network, const Invitation& invitation);
    /// Tries how well every other host is reached, which takes a while.
    [[nodiscard]] std::vector<PeerFinding> check(const NetworkRecord& network);
    /// Listens to the inbox, if it is there.
    void open_inbox(const Name& network);
    /// The inboxes of all networks.
    [[nodiscard]] FolderWatch& inboxes() noexcept { return inboxes_; }
    [[nodiscard]] fs::path inbox(const Name& network) const { return folder(network) / "peer/inbox"; }

  private:
    [[nodiscard]] fs::path folder(const Name& network) const { return paths_.network(network); }
    [[nodiscard]] VpnNode own_node(const NetworkRecord& network) const;
    [[nodiscard]] std::optional<VpnBundle> published(const NetworkRecord& network) const;
    VpnBundle publish(const NetworkRecord& network);
    [[nodiscard]] SyncStatus reached(const Name& network) const;
    [[nodiscard]] NetworkRecord latest(const NetworkRecord& network) const;
    [[nodiscard]] bool tell_tincd(const Name& network);
    bool write_tinc(const NetworkRecord& network, const VpnBook& book) const;
    void start_unit(const Name& network, const std::string& unit, const char* what,
                    std::chrono::milliseconds limit);

    const Paths& paths_;
    const fs::path programs_;
    Store& store_;
    SystemdClient& systemd_;
    NetworkDhcp& dhcp_;
    const UserUnits units_;
    /// Those whose tincd has what the files say; not yet, after capsuld's start, whatever it had before.
    std::set<Name> told_;
    /// Held from reading the records until the files say so: the last to change them is not undone.
    std::mutex mutex_;
    FolderWatch inboxes_;
};

} // namespace capsul
