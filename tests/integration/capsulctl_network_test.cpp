// What capsulctl makes of networks and NICs: the calls, the exit codes, what is printed where.
#include "tests/integration/capsulctl_fixture.hpp"

#include "lib/network.hpp"
#include "tests/network_records.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <mutex>

namespace capsul::test {
namespace {

using testing::HasSubstr;
using testing::Not;
using Words = std::vector<std::string>;

Network made_up_network(const std::string& name, NetworkState state = NetworkState::running) {
    const NetworkRecord record = nat_network(name, "10.80.0.0/24");
    Network network;
    network.name = record.name;
    network.state = state;
    network.unit = network_unit_name(record.name);
    network.spec = record;
    return network;
}

Nic made_up_nic(int slot, const std::string& network, const std::string& ip) {
    Nic nic;
    nic.slot = slot;
    nic.network = Name::parse(network);
    nic.mac = Mac::parse("02:00:00:00:00:0" + std::to_string(slot));
    nic.ip = IpAddress::parse(ip);
    nic.tap = InterfaceName::parse("cap-web-" + std::to_string(slot));
    return nic;
}

Vm vm_with(const std::vector<Nic>& nics, VmState state = VmState::running) {
    Vm vm = made_up_vm("web", state);
    VmRecord record;
    record.name = vm.name;
    record.uuid = Uuid::make();
    record.image = Name::parse("debian-12");
    record.image_digest = Digest::parse("sha256:" + std::string(64, '0'));
    record.memory = Bytes(std::uint64_t{1} << 30U);
    record.disk = record.memory;
    record.nics = nics;
    vm.spec = record;
    return vm;
}

/// What the daemon was asked last, as JSON.
class Asked {
  public:
    template <class C>
    void note(const C& call) {
        const std::lock_guard lock(mutex_);
        last_ = encode(call);
    }
    Json last() {
        const std::lock_guard lock(mutex_);
        return last_;
    }

  private:
    std::mutex mutex_;
    Json last_;
};

TEST(NetworkCreate, SendsWhatTheOptionsSay) {
    Asked asked; // before the daemon, whose threads use it until it has ended
    MadeUpDaemon daemon;
    daemon.add_work<NetworkCreate>([&](const NetworkCreate& call) {
        asked.note(call);
        return made_up_network("lan");
    });
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"network",
                                                   "create",
                                                   "lan",
                                                   "--subnet",
                                                   "10.80.0.0/24",
                                                   "--subnet6",
                                                   "fd00::/64",
                                                   "--gateway",
                                                   "10.80.0.254",
                                                   "--gateway6",
                                                   "fd00::fe",
                                                   "--range",
                                                   "10.80.0.9-10.80.0.20",
                                                   "--range6",
                                                   "fd00::9-fd00::20",
                                                   "--dns",
                                                   "9.9.9.9",
                                                   "--dns",
                                                   "2620:fe::fe",
                                                   "--isolate",
                                                   "--egress",
                                                   "192.0.2.0/24",
                                                   "--dhcp",
                                                   "--no-start",
                                                   "--no-autostart"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(asked.last(), Json::parse(R"({"name": "lan", "type": "nat", "bridge": null,
        "subnet": "10.80.0.0/24", "subnet6": "fd00::/64", "gateway": "10.80.0.254", "gateway6": "fd00::fe",
        "range": "10.80.0.9-10.80.0.20", "range6": "fd00::9-fd00::20", "dns": ["9.9.9.9", "2620:fe::fe"],
        "isolate": true, "egress": "192.0.2.0/24", "dhcp": true, "vpn": null, "start": false, "autostart": false})"));
    EXPECT_EQ(outcome.err, "network lan: created\n");
    EXPECT_THAT(outcome.out, HasSubstr("cap-lan"));
}

TEST(NetworkCreate, TakesTheTypeFromTheBridge) {
    Asked asked; // before the daemon, whose threads use it until it has ended
    MadeUpDaemon daemon;
    daemon.add_work<NetworkCreate>([&](const NetworkCreate& call) {
        asked.note(call);
        return made_up_network("pub");
    });
    daemon.serve();
    const Outcome plain = run_capsulctl(daemon, {"network", "create", "pub", "--json"});
    EXPECT_EQ(asked.last().at("type"), "nat");
    EXPECT_TRUE(asked.last().at("egress").is_null());
    EXPECT_EQ(plain.err, "network pub: created and running\n");
    EXPECT_EQ(Json::parse(plain.out).at("name"), "pub");
    run_capsulctl(daemon, {"network", "create", "pub", "--bridge", "br0"});
    EXPECT_EQ(asked.last().at("type"), "bridge");
    EXPECT_EQ(asked.last().at("bridge"), "br0");
}

TEST(NetworkCreate, AsksNothingOfTheDaemonWhenTheLineIsWrong) {
    MadeUpDaemon daemon;
    daemon.add_done<NetworkCreate>(made_up_network("lan"));
    daemon.serve();
    for (const Words& options : std::vector<Words>{{"--type", "vlan"},
                                                   {"--type", "bridge"},
                                                   {"--type", "nat", "--bridge", "br0"},
                                                   {"--bridge", "br0", "--type", "vpn"},
                                                   {"--node", "host_a"},
                                                   {"--slice", "10.80.0.0/28", "--type", "nat"},
                                                   {"--node", "host-a", "--type", "vpn"},
                                                   {"--address", "192.0.2.1:0", "--type", "vpn"},
                                                   {"--port", "0", "--type", "vpn"},
                                                   {"--mtu", "65536", "--type", "vpn"},
                                                   {"--bridge", "a-name-that-is-too-long"},
                                                   {"--subnet", "10.80.0.1/24"},
                                                   {"--subnet", "10.80.0.0"},
                                                   {"--gateway", "10.80.0.1/24"},
                                                   {"--range", "10.80.0.9"},
                                                   {"--range", "10.80.0.9-10.80.0.2"},
                                                   {"--dns", "dns.example"},
                                                   {"--egress", "some"},
                                                   {"--egress", "192.0.2.1:443"},
                                                   {"--egress", ""},
                                                   {"--bridge", ""},
                                                   {"--subnet", ""},
                                                   {"--columns", "bogus"}}) {
        Words words{"network", "create", "lan"};
        words.insert(words.end(), options.begin(), options.end());
        const Outcome outcome = run_capsulctl(daemon, words);
        EXPECT_EQ(outcome.code, 2) << options.front() << " " << options.back();
        EXPECT_EQ(outcome.out, "");
        EXPECT_THAT(outcome.err, HasSubstr(options.front())) << outcome.err;
    }
    EXPECT_EQ(run_capsulctl(daemon, {"network", "create", "Lan"}).code, 2);
    EXPECT_EQ(daemon.calls, 0);
}

TEST(NetworkCreate, SendsWhatIsWishedOfAVpn) {
    Asked asked; // before the daemon, whose threads use it until it has ended
    MadeUpDaemon daemon;
    daemon.add_work<NetworkCreate>([&](const NetworkCreate& call) {
        asked.note(call);
        return made_up_network("mesh");
    });
    daemon.serve();
    run_capsulctl(daemon, {"network", "create", "mesh", "--type", "vpn"});
    EXPECT_EQ(asked.last().at("vpn"),
              Json::parse(R"({"node": null, "addresses": [], "port": null, "mtu": null,
        "slice": null})"));
    run_capsulctl(daemon, {"network", "create", "mesh", "--type", "vpn", "--node", "host_a", "--address",
                           "192.0.2.1", "--address", "[2001:db8::1]:7", "--port", "11700", "--mtu", "1300",
                           "--slice", "10.90.0.0/22", "--dhcp"});
    EXPECT_EQ(asked.last().at("type"), "vpn");
    EXPECT_EQ(asked.last().at("dhcp"), true);
    EXPECT_EQ(asked.last().at("vpn"), Json::parse(R"({"node": "host_a",
        "addresses": ["192.0.2.1", "[2001:db8::1]:7"], "port": 11700, "mtu": 1300, "slice": "10.90.0.0/22"})"));
}

TEST(NetworkCreate, TellsTheWordsThatEgressKnows) {
    MadeUpDaemon daemon;
    const Outcome outcome = run_capsulctl(daemon, {"network", "create", "lan", "--egress", "nonee"});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, HasSubstr("hint: write full, none, dns-icmp, or a list"));
}

TEST(NetworkCreate, LeavesOneThatExistsAsItIs) {
    MadeUpDaemon daemon;
    daemon.add_failed<NetworkCreate>({ErrorCode::exists, "network lan: exists already"});
    daemon.router.add<NetworkShow>([](const NetworkShow&) { return made_up_network("lan"); });
    daemon.serve();
    EXPECT_EQ(run_capsulctl(daemon, {"network", "create", "lan"}).code, 4);
    const Outcome outcome = run_capsulctl(daemon, {"network", "create", "lan", "--if-not-exists", "-q"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out, "lan\n");
}

TEST(NetworkCreate, ExcusesNoOtherFailureOfOneThatMayExist) {
    MadeUpDaemon daemon;
    daemon.add_failed<NetworkCreate>({ErrorCode::in_use, "10.80.0.0/24 overlaps with a route of this host"});
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"network", "create", "lan", "--if-not-exists"});
    EXPECT_EQ(outcome.code, 4);
    EXPECT_EQ(outcome.err, "capsulctl: network lan: 10.80.0.0/24 overlaps with a route of this host\n");
}

/// NetworkSet of lan with nothing but this.
Json change_of_lan(const char* key, const Json& value) {
    Json call = Json::parse(R"({"name": "lan", "egress": null, "dns": null, "dhcp": null, "slice": null,
        "addresses": null})");
    call[key] = value;
    return call;
}

TEST(NetworkSet, SendsOnlyWhatIsToChange) {
    Asked asked; // before the daemon, whose threads use it until it has ended
    MadeUpDaemon daemon;
    daemon.add_work<NetworkSet>([&](const NetworkSet& call) {
        asked.note(call);
        return made_up_network("lan");
    });
    daemon.serve();
    const Outcome told = run_capsulctl(daemon, {"network", "set", "lan", "--egress", "none"});
    EXPECT_EQ(told.err, "network lan: changed\n");
    EXPECT_EQ(told.out, "");
    EXPECT_EQ(asked.last(), change_of_lan("egress", "none"));
    run_capsulctl(daemon, {"network", "set", "lan", "--dns", "9.9.9.9"});
    EXPECT_EQ(asked.last(), change_of_lan("dns", {"9.9.9.9"}));
    run_capsulctl(daemon, {"network", "set", "lan", "--host-dns"});
    EXPECT_EQ(asked.last(), change_of_lan("dns", Json::array()));
    run_capsulctl(daemon, {"network", "set", "lan", "--dhcp", "off"});
    EXPECT_EQ(asked.last(), change_of_lan("dhcp", false));
    run_capsulctl(daemon, {"network", "set", "lan", "--slice", "10.90.8.0/22"});
    EXPECT_EQ(asked.last(), change_of_lan("slice", "10.90.8.0/22"));
    run_capsulctl(daemon, {"network", "set", "lan", "--address", "192.0.2.1", "--address", "h.example:7"});
    EXPECT_EQ(asked.last(), change_of_lan("addresses", {"192.0.2.1", "h.example:7"}));
    run_capsulctl(daemon, {"network", "set", "lan", "--no-address"});
    EXPECT_EQ(asked.last(), change_of_lan("addresses", Json::array()));
    const int calls = daemon.calls;
    for (const Words& options : std::vector<Words>{{},
                                                   {"--egress", ""},
                                                   {"--egress", "open"},
                                                   {"--dns", "x"},
                                                   {"--dhcp", ""},
                                                   {"--dhcp", "yes"},
                                                   {"--slice", "10.90.8.1/22"},
                                                   {"--address", ""},
                                                   {"--address", "a b"},
                                                   {"--address", "192.0.2.1", "--no-address"},
                                                   {"--dns", "9.9.9.9", "--host-dns"}}) {
        Words words{"network", "set", "lan"};
        words.insert(words.end(), options.begin(), options.end());
        EXPECT_EQ(run_capsulctl(daemon, words).code, 2);
    }
    EXPECT_EQ(daemon.calls, calls);
}

TEST(NetworkList, GivesEachForm) {
    MadeUpDaemon daemon;
    daemon.router.add<NetworkList>([](const NetworkList&) {
        return std::vector{made_up_network("lan"), made_up_network("lab", NetworkState::stopped)};
    });
    daemon.serve();
    EXPECT_EQ(run_capsulctl(daemon, {"network", "list", "--columns", "name,type,state,subnet"}).out,
              "NAME  TYPE  STATE    SUBNET\n"
              "lan   nat   running  10.80.0.0/24\n"
              "lab   nat   stopped  10.80.0.0/24\n");
    EXPECT_EQ(run_capsulctl(daemon, {"network", "list", "-q"}).out, "lan\nlab\n");
    EXPECT_EQ(
        run_capsulctl(daemon, {"network", "list", "-o", "csv", "--no-headers", "--columns", "state"}).out,
        "running\nstopped\n");
    EXPECT_EQ(Json::parse(run_capsulctl(daemon, {"network", "list", "--json"}).out).at(1).at("name"), "lab");
    EXPECT_THAT(run_capsulctl(daemon, {"network", "list", "-o", "wide"}).out, HasSubstr("EGRESS"));
}

TEST(NetworkList, SaysHowToMakeTheFirst) {
    MadeUpDaemon daemon;
    daemon.router.add<NetworkList>([](const NetworkList&) { return std::vector<Network>(); });
    daemon.serve();
    EXPECT_THAT(run_capsulctl(daemon, {"network", "list"}).err, HasSubstr("capsulctl network create"));
    const Outcome data = run_capsulctl(daemon, {"network", "list", "--json"});
    EXPECT_EQ(data.out, "[]\n");
    EXPECT_EQ(data.err, "");
}

TEST(NetworkShow, NamesTheNetworkInAnError) {
    MadeUpDaemon daemon;
    daemon.router.add<NetworkShow>(
        [](const NetworkShow&) -> Network { throw Error(ErrorCode::not_found, "does not exist"); });
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"network", "show", "lan"});
    EXPECT_EQ(outcome.code, 3);
    EXPECT_EQ(outcome.err, "capsulctl: network lan: does not exist\n");
    const MadeUpDaemon nobody; // serves nobody
    EXPECT_EQ(run_capsulctl(nobody, {"network", "show", "lan"}).code, 6);
}

TEST(NetworkStart, SaysWhatWasSoAlready) {
    MadeUpDaemon daemon;
    daemon.router.add<NetworkList>([](const NetworkList&) {
        return std::vector{made_up_network("lan"), made_up_network("lab", NetworkState::stopped)};
    });
    daemon.add_work<NetworkStart>(
        [](const NetworkStart& call) { return made_up_network(call.name.to_string()); });
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"network", "start", "lan", "lab"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out, "");
    EXPECT_EQ(outcome.err, "network lan: already running\nnetwork lab: running\n");
    const Outcome json = run_capsulctl(daemon, {"network", "start", "lab", "--json"});
    EXPECT_EQ(Json::parse(json.out).at("state"), "running");
}

TEST(NetworkStop, TriesAllAndTellsEachFailure) {
    MadeUpDaemon daemon;
    daemon.router.add<NetworkList>([](const NetworkList&) { return std::vector{made_up_network("lan")}; });
    daemon.add_work<NetworkStop>([](const NetworkStop& call) {
        if (call.name.to_string() == "lan") {
            throw Error(ErrorCode::in_use, "network lan: VMs run on it: web", "`capsulctl stop web` first");
        }
        return made_up_network(call.name.to_string(), NetworkState::stopped);
    });
    daemon.serve();
    const Outcome some = run_capsulctl(daemon, {"network", "stop", "lan", "lab"});
    EXPECT_EQ(some.code, 9);
    EXPECT_THAT(some.err, HasSubstr("capsulctl: network lan: VMs run on it: web\nhint: "));
    EXPECT_THAT(some.err, HasSubstr("network lab: stopped\n"));
    EXPECT_EQ(run_capsulctl(daemon, {"network", "stop", "lan"}).code, 4);
    const Outcome json = run_capsulctl(daemon, {"network", "stop", "lan", "--json"});
    EXPECT_EQ(json.out, "");
    EXPECT_EQ(Json::parse(json.err).at("code"), "in_use");
}

struct DeletingDaemon : MadeUpDaemon {
    DeletingDaemon() {
        router.add<NetworkList>([](const NetworkList&) { return std::vector{made_up_network("lan")}; });
        add_work<NetworkDelete>(
            [](const NetworkDelete& call) { return made_up_network(call.name.to_string()); });
        serve();
    }
};

TEST(NetworkDelete, NeverHangsWhereNobodyCanBeAsked) {
    DeletingDaemon daemon;
    const Outcome outcome = run_capsulctl(daemon, {"network", "delete", "lan"});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, HasSubstr("--yes"));
    EXPECT_EQ(daemon.calls, 0);
}

TEST(NetworkDelete, AsksOnATerminal) {
    DeletingDaemon daemon;
    Capsulctl no(daemon, {"network", "delete", "lan", "lab"}, Capsulctl::On::terminal);
    ASSERT_TRUE(no.shows("Delete lan, lab, for good? [y/N] ")) << no.out;
    no.type("n\n");
    EXPECT_EQ(no.wait(), 2);
    EXPECT_THAT(no.out, HasSubstr("not deleted"));
    EXPECT_EQ(daemon.calls, 0);
    Capsulctl yes(daemon, {"network", "delete", "lan"}, Capsulctl::On::terminal);
    ASSERT_TRUE(yes.shows("[y/N] ")) << yes.out;
    yes.type("y\n");
    EXPECT_EQ(yes.wait(), 0);
    EXPECT_THAT(yes.out, HasSubstr("network lan: deleted"));
    EXPECT_EQ(daemon.calls, 1);
}

TEST(NetworkDelete, GivesWhatWasDeleted) {
    DeletingDaemon daemon;
    const Outcome one = run_capsulctl(daemon, {"network", "delete", "lan", "--yes", "--json"});
    EXPECT_EQ(Json::parse(one.out).at("name"), "lan");
    const Outcome two = run_capsulctl(daemon, {"network", "delete", "lan", "lab", "-y", "--json"});
    EXPECT_EQ(Json::parse(two.out).size(), 2U);
}

TEST(NetworkDelete, ForgivesAMissingOneWhenTold) {
    DeletingDaemon daemon;
    const Outcome outcome = run_capsulctl(daemon, {"network", "delete", "nope", "--ignore-missing"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "network nope: does not exist\n");
    EXPECT_EQ(daemon.calls, 0);
}

TEST(NetworkReserve, KeepsAndReleasesAnAddress) {
    Asked asked; // before the daemon, whose threads use it until it has ended
    MadeUpDaemon daemon;
    const auto answer = [&](const auto& call) {
        asked.note(call);
        return made_up_network("lan");
    };
    daemon.add_work<NetworkReserve>(answer);
    daemon.add_work<NetworkRelease>(answer);
    daemon.serve();
    const Outcome kept = run_capsulctl(daemon, {"network", "reserve", "lan", "10.80.0.9", "--for", "web"});
    EXPECT_EQ(kept.code, 0);
    EXPECT_EQ(kept.out, "");
    EXPECT_EQ(kept.err, "network lan: 10.80.0.9 is kept for web\n");
    EXPECT_EQ(asked.last(), Json::parse(R"({"name": "lan", "ip": "10.80.0.9", "vm": "web"})"));
    const Outcome freed = run_capsulctl(daemon, {"network", "release", "lan", "FD00:0::9", "--json"});
    EXPECT_EQ(asked.last(), Json::parse(R"({"name": "lan", "ip": "fd00::9"})"));
    EXPECT_EQ(freed.err, "network lan: fd00::9 is kept no longer\n");
    EXPECT_EQ(Json::parse(freed.out).at("name"), "lan");
}

TEST(NetworkReserve, NamesWhatIsWrong) {
    MadeUpDaemon daemon;
    daemon.add_failed<NetworkRelease>({ErrorCode::not_found, "10.80.0.9 is not kept for a VM"});
    daemon.serve();
    EXPECT_THAT(run_capsulctl(daemon, {"network", "reserve", "lan", "10.80.0.9"}).err,
                HasSubstr("--for is required"));
    EXPECT_THAT(run_capsulctl(daemon, {"network", "reserve", "lan", "10.80.0", "--for", "web"}).err,
                HasSubstr("capsulctl: IP: '10.80.0' is not"));
    const Outcome missing = run_capsulctl(daemon, {"network", "release", "lan", "10.80.0.9"});
    EXPECT_EQ(missing.code, 3);
    EXPECT_EQ(missing.err, "capsulctl: network lan: 10.80.0.9 is not kept for a VM\n");
}

TEST(NetworkLeases, ListsWhoHasWhat) {
    MadeUpDaemon daemon;
    daemon.router.add<NetworkLeases>([](const NetworkLeases&) {
        return std::vector<Lease>{
            {IpAddress::parse("10.80.0.1"), "gateway", {}, {}},
            {IpAddress::parse("10.80.0.2"), "vm", Name::parse("web"), Mac::parse("02:00:00:00:00:01")},
            {IpAddress::parse("10.80.0.9"), "reserved", Name::parse("db"), {}}};
    });
    daemon.serve();
    EXPECT_EQ(run_capsulctl(daemon, {"network", "leases", "lan"}).out,
              "IP         USE       VM   MAC\n"
              "10.80.0.1  gateway\n"
              "10.80.0.2  vm        web  02:00:00:00:00:01\n"
              "10.80.0.9  reserved  db\n");
    EXPECT_EQ(run_capsulctl(daemon, {"network", "leases", "lan", "-q"}).out,
              "10.80.0.1\n10.80.0.2\n10.80.0.9\n");
    EXPECT_EQ(Json::parse(run_capsulctl(daemon, {"network", "leases", "lan", "--json"}).out).size(), 3U);
}

TEST(VmCreate, GivesOneNicForEachNetworkInTheirOrder) {
    Asked asked; // before the daemon, whose threads use it until it has ended
    MadeUpDaemon daemon;
    daemon.add_work<VmCreate>([&](const VmCreate& call) {
        asked.note(call);
        return made_up_vm("web", VmState::running);
    });
    daemon.serve();
    const Outcome outcome =
        run_capsulctl(daemon, {"launch", "web", "-i", "x", "--network", "lan,ip=10.80.0.9,ip=fd00::9",
                               "--network", "pub,mac=02:00:00:00:00:01"});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(asked.last().at("networks"), Json::parse(R"([
        {"network": "lan", "ip": "10.80.0.9", "ip6": "fd00::9", "mac": null},
        {"network": "pub", "ip": null, "ip6": null, "mac": "02:00:00:00:00:01"}])"));
    run_capsulctl(daemon, {"vm", "create", "web", "-i", "x"});
    EXPECT_EQ(asked.last().at("networks"), Json::array());
    EXPECT_EQ(run_capsulctl(daemon, {"vm", "create", "web", "-i", "x", "--network", "lan,mtu=9"}).code, 2);
    EXPECT_EQ(daemon.calls, 2);
}

TEST(VmNic, IsListed) {
    MadeUpDaemon daemon;
    daemon.router.add<VmShow>([](const VmShow&) { return vm_with({made_up_nic(0, "lan", "10.80.0.2")}); });
    daemon.serve();
    EXPECT_EQ(run_capsulctl(daemon, {"vm", "nic", "list", "web"}).out,
              "SLOT  NETWORK  MAC                IP         TAP\n"
              "   0  lan      02:00:00:00:00:00  10.80.0.2  cap-web-0\n");
    EXPECT_EQ(run_capsulctl(daemon, {"vm", "nic", "list", "web", "-q"}).out, "0\n");
    const Json nic = Json::parse(run_capsulctl(daemon, {"vm", "nic", "list", "web", "--json"}).out).at(0);
    EXPECT_EQ(nic.at("tap"), "cap-web-0");
    EXPECT_TRUE(nic.at("counters").is_null());
}

TEST(VmNic, IsNotLookedForInABrokenVm) {
    MadeUpDaemon daemon;
    daemon.router.add<VmShow>([](const VmShow&) {
        Vm vm = made_up_vm("web", VmState::broken);
        vm.reason = "vm.toml: line 3";
        return vm;
    });
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"vm", "nic", "list", "web"});
    EXPECT_EQ(outcome.code, 4);
    EXPECT_EQ(outcome.err, "capsulctl: vm web: is broken: vm.toml: line 3\n");
}

TEST(VmNic, IsAddedAndPrinted) {
    Asked asked; // before the daemon, whose threads use it until it has ended
    MadeUpDaemon daemon;
    const Nic first = made_up_nic(0, "lan", "10.80.0.2");
    const Nic second = made_up_nic(1, "lan", "10.80.0.9");
    daemon.router.add<VmShow>([=](const VmShow&) { return vm_with({first}); });
    daemon.add_work<VmNicAdd>([&asked, first, second](const VmNicAdd& call) {
        asked.note(call);
        return vm_with({first, second});
    });
    daemon.serve();
    const Outcome told = run_capsulctl(daemon, {"vm", "nic", "add", "web", "lan,ip=10.80.0.9"});
    EXPECT_EQ(told.code, 0);
    EXPECT_EQ(told.out, "SLOT  NETWORK  MAC                IP         TAP\n"
                        "   1  lan      02:00:00:00:00:01  10.80.0.9  cap-web-1\n");
    EXPECT_EQ(told.err, "vm web: NIC 1 plugged in\n");
    EXPECT_EQ(asked.last().at("nic").at("ip"), "10.80.0.9");
    EXPECT_EQ(run_capsulctl(daemon, {"vm", "nic", "add", "web", "lan", "-q"}).out, "1\n");
    const Outcome json = run_capsulctl(daemon, {"vm", "nic", "add", "web", "lan", "--json"});
    EXPECT_EQ(Json::parse(json.out).at("ip"), "10.80.0.9");
    EXPECT_THAT(run_capsulctl(daemon, {"vm", "nic", "add", "web", "lan,ip=x"}).err,
                HasSubstr("capsulctl: NETWORK: "));
}

TEST(VmNic, IsRemovedUnasked) {
    Asked asked; // before the daemon, whose threads use it until it has ended
    MadeUpDaemon daemon;
    const Nic nic = made_up_nic(1, "lan", "10.80.0.2");
    daemon.router.add<VmShow>([=](const VmShow&) { return vm_with({nic}, VmState::stopped); });
    daemon.add_work<VmNicRemove>([&](const VmNicRemove& call) {
        asked.note(call);
        if (call.slot != 1) {
            throw Error(ErrorCode::not_found, "vm web: has no NIC " + std::to_string(call.slot));
        }
        return vm_with({}, VmState::stopped);
    });
    daemon.serve();
    const Outcome told = run_capsulctl(daemon, {"vm", "nic", "rm", "web", "1"});
    EXPECT_EQ(told.code, 0);
    EXPECT_EQ(told.err, "vm web: NIC 1 removed\n");
    EXPECT_EQ(asked.last(), Json::parse(R"({"name": "web", "slot": 1})"));
    EXPECT_EQ(told.out, "");
    EXPECT_EQ(run_capsulctl(daemon, {"vm", "nic", "rm", "web", "1", "-o", "name"}).out, "1\n");
    EXPECT_EQ(run_capsulctl(daemon, {"vm", "nic", "rm", "web", "3"}).code, 3);
    const int calls = daemon.calls;
    for (const char* slot : {"net1", "-1", "", "1x", "999"}) {
        EXPECT_EQ(run_capsulctl(daemon, {"vm", "nic", "rm", "web", slot}).code, 2) << slot;
    }
    EXPECT_EQ(daemon.calls, calls);
}

VmAddresses assigned_addresses(const Words& ips) {
    VmAddresses addresses;
    for (const std::string& ip : ips) {
        addresses.assigned.push_back(IpAddress::parse(ip));
    }
    addresses.ssh = Endpoint{ips.front(), 22};
    return addresses;
}

TEST(VmIp, GivesTheAssignedAddressBeforeAndAfterTheGuestIsUp) {
    MadeUpDaemon daemon;
    daemon.add_work<VmIp>([](const VmIp& call) {
        VmAddresses addresses = assigned_addresses({"10.80.0.2", "fd00::2"});
        if (call.name.to_string() == "up") {
            addresses.guest = {"10.80.0.2/24", "fd00::2/64", "172.17.0.1/16"};
        }
        return addresses;
    });
    daemon.serve();
    const Outcome down = run_capsulctl(daemon, {"vm", "ip", "down"});
    EXPECT_EQ(down.out, "ADDRESS       KIND\n10.80.0.2     assigned\nfd00::2       assigned\n"
                        "10.80.0.2:22  ssh\n");
    EXPECT_EQ(down.err, "");
    EXPECT_EQ(run_capsulctl(daemon, {"vm", "ip", "up", "-q"}).out,
              "10.80.0.2\nfd00::2\n172.17.0.1/16\n10.80.0.2:22\n");
}

TEST(VmIp, TellsOnStandardErrorWhatTheGuestLacks) {
    MadeUpDaemon daemon;
    VmAddresses addresses = assigned_addresses({"10.80.0.2"});
    addresses.guest = {"192.0.2.9/24"};
    addresses.missing = addresses.assigned;
    daemon.add_done<VmIp>(addresses);
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"vm", "ip", "web", "-o", "csv"});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(outcome.out, "address,kind\n10.80.0.2,assigned\n192.0.2.9/24,guest\n10.80.0.2:22,ssh\n");
    EXPECT_EQ(outcome.err, "vm web: the guest does not have 10.80.0.2\n");
    const Outcome json = run_capsulctl(daemon, {"vm", "ip", "web", "--json"});
    EXPECT_EQ(Json::parse(json.out).at("missing").at(0), "10.80.0.2");
    EXPECT_EQ(run_capsulctl(daemon, {"vm", "ip", "web", "-q"}).err, "");
}

TEST(VmIp, IsAsEverForAVmOnQemusOwnNetwork) {
    MadeUpDaemon daemon;
    VmAddresses addresses;
    addresses.ssh = Endpoint{"127.0.0.1", 22001};
    addresses.published = {PublishedPort::parse("8080:80")};
    addresses.guest = {"10.0.2.15/24"};
    daemon.add_done<VmIp>(addresses);
    daemon.serve();
    const Outcome outcome = run_capsulctl(daemon, {"vm", "ip", "web", "-q"});
    EXPECT_EQ(outcome.out, "10.0.2.15/24\n127.0.0.1:22001:22/tcp\n127.0.0.1:8080:80/tcp\n");
    EXPECT_EQ(outcome.err, "");
}

TEST(VmIp, SaysSoWhenNoAddressIsKnown) {
    MadeUpDaemon daemon;
    daemon.add_done<VmIp>(VmAddresses{});
    daemon.serve();
    EXPECT_THAT(run_capsulctl(daemon, {"vm", "ip", "web"}).err,
                HasSubstr("vm web: capsul gave it no address"));
    EXPECT_EQ(run_capsulctl(daemon, {"vm", "ip", "web", "-q"}).err, "");
}

TEST(Completion, OffersTheDaemonsNetworks) {
    MadeUpDaemon daemon;
    daemon.router.add<NetworkList>([](const NetworkList&) { return std::vector{made_up_network("lan")}; });
    daemon.serve();
    std::string offered;
    for (int i = 0; i < 100 && offered.empty(); ++i) { // it gives up when the machine is busy
        offered = run_capsulctl(daemon, {"__complete", "--", "network", "show", ""}).out;
    }
    EXPECT_EQ(offered, "lan\n");
}

} // namespace
} // namespace capsul::test
