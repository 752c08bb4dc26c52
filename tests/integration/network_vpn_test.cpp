// VPNs as capsuld keeps them: files, keys, what other hosts tell, and who is let in. Nothing is started; the
// other hosts are made up by the tests.
#include "tests/integration/vm_fixture.hpp"
#include "tests/lab_records.hpp"

#include "lib/toml.hpp"
#include "lib/vpn_calls.hpp"

#include <gmock/gmock.h>

namespace capsul {
namespace {

using testing::HasSubstr;
using testing::Not;

/// It grants, and does nothing.
constexpr const char* net_helper = R"(#!/bin/sh
[ "$1" != check-policy ] || printf '%s\n' '0 prefix cap- -' '0 bridge own 9' '0 nat own -' '0 subnet own 10.90.0.0/16' '0 subnet own fd90::/32'
)";

class NetworkVpnTest : public VmServiceTest {
  protected:
    NetworkVpnTest() {
        fs::remove(daemon_->programs / "capsul-net");
        replace_file(daemon_->programs / "capsul-net", net_helper, 0755);
    }

    NetworkCreate wanted_vpn() const {
        NetworkCreate call;
        call.name = lab_;
        call.type = NetworkType::vpn;
        call.subnet = Cidr::parse("10.90.0.0/20");
        call.subnet6 = Cidr::parse("fd90::/64");
        call.start = false;
        call.vpn = VpnWishes();
        call.vpn->node = NodeName::parse("a");
        call.vpn->addresses = {VpnAddressWish::parse("192.0.2.1")};
        return call;
    }
    VpnBundle exported(std::optional<NodeName> node = {}) {
        return decode<VpnBundle>(run(NetworkExport{lab_, std::move(node)}));
    }
    /// What another host says, on that slice.
    VpnBundle bundle_of(const PrivateIdentity& identity, const std::string& name, const std::string& slice) {
        const VpnBundle ours = exported();
        VpnNode node = test::lab::vpn_node(name, slice, identity.identity());
        node.network = ours.id;
        VpnBundle bundle = test::lab::vpn_bundle({VpnStatement::make(node, identity)});
        bundle.id = ours.id;
        return bundle;
    }
    Network shown() { return decode<Network>(ask(NetworkShow{lab_})); }
    [[nodiscard]] fs::path folder(const std::string& inside = "") const {
        return paths_.network(lab_) / inside;
    }

    const Name lab_ = Name::parse("lab");
    const PrivateIdentity b_ = PrivateIdentity::generate();
};

TEST_F(NetworkVpnTest, IsMadeWithKeysOfItsOwn) {
    run(wanted_vpn());
    for (const char* key : {"identity.key", "tinc/rsa_key.priv"}) {
        EXPECT_EQ(fs::status(folder(key)).permissions(), fs::perms::owner_read | fs::perms::owner_write)
            << key;
    }
    EXPECT_THAT(read_file(folder("tinc/tinc.conf")), HasSubstr("Name = a\n"));
    EXPECT_THAT(read_file(folder("tinc/hosts/a")), HasSubstr("Address = 192.0.2.1 "));
    EXPECT_TRUE(fs::exists(paths_.units / "capsul-vpn-lab.service"));
    EXPECT_TRUE(fs::exists(paths_.units / "capsul-peer-lab.service"));
    EXPECT_TRUE(fs::exists(paths_.units / "capsul-check-lab.service"));
    const VpnBundle bundle = exported();
    EXPECT_NO_THROW(bundle.check());
    EXPECT_EQ(bundle.nodes.size(), 1U);
    EXPECT_EQ(shown().vpn->ip.to_string(), "10.90.0.1");
}

TEST_F(NetworkVpnTest, LeavesNothingBehind) {
    run(wanted_vpn());
    run(NetworkDelete{lab_});
    EXPECT_FALSE(fs::exists(folder()));
    for (const auto& entry : fs::directory_iterator(paths_.units)) {
        EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("lab"))) << "is left";
    }
}

TEST_F(NetworkVpnTest, KeepsASliceForWhoIsToJoin) {
    run(wanted_vpn());
    const auto b = NodeName::parse("b");
    const auto slice = exported(b).slice;
    ASSERT_TRUE(slice);
    EXPECT_EQ(exported(b).slice, slice);
    EXPECT_NE(exported(NodeName::parse("c")).slice, slice);
    EXPECT_EQ(refusal([&] { run(NetworkExport{lab_, NodeName::parse("a")}); }).code(), ErrorCode::in_use);
    run(NetworkPeerRemove{lab_, b}); // it never came
    EXPECT_EQ(exported(NodeName::parse("d")).slice, slice);
}

TEST_F(NetworkVpnTest, TakesInAnotherHost) {
    run(wanted_vpn());
    run(NetworkPeerAdd{lab_, bundle_of(b_, "b", "10.90.0.64/26")});
    EXPECT_THAT(read_file(folder("tinc/hosts/b")), HasSubstr("Address = 192.0.2.2 11655\n"));
    EXPECT_THAT(read_file(folder("tinc/tinc.conf")), HasSubstr("ConnectTo = b\n"));
    EXPECT_EQ(exported().nodes.size(), 2U);
    ASSERT_EQ(shown().vpn->peers.size(), 1U);
    EXPECT_EQ(shown().vpn->peers[0].ip.to_string(), "10.90.0.65");
    EXPECT_THAT(read_file(folder("dns/hosts")), HasSubstr("10.90.0.65"));
}

TEST_F(NetworkVpnTest, CutsOffAHostForGood) {
    run(wanted_vpn());
    const VpnBundle theirs = bundle_of(b_, "b", "10.90.0.64/26");
    run(NetworkPeerAdd{lab_, theirs});
    run(NetworkPeerRemove{lab_, NodeName::parse("b")});
    EXPECT_FALSE(fs::exists(folder("tinc/hosts/b")));
    EXPECT_FALSE(fs::exists(folder("peers/b.toml")));
    EXPECT_THAT(read_file(folder("tinc/tinc.conf")), Not(HasSubstr("ConnectTo")));
    EXPECT_EQ(exported().revoked, std::vector{b_.identity()});
    EXPECT_EQ(refusal([&] { run(NetworkPeerAdd{lab_, theirs}); }).code(), ErrorCode::denied);
    EXPECT_EQ(refusal([&] {
                  run(NetworkPeerRemove{lab_, NodeName::parse("b")});
              }).code(),
              ErrorCode::not_found);
}

// A crash between the two: the record says revoked, the file of the host is still there.
TEST_F(NetworkVpnTest, FinishesARevocation) {
    run(wanted_vpn());
    run(NetworkPeerAdd{lab_, bundle_of(b_, "b", "10.90.0.64/26")});
    const std::string file = read_file(folder("peers/b.toml"));
    const std::string host = read_file(folder("tinc/hosts/b"));
    run(NetworkPeerRemove{lab_, NodeName::parse("b")});
    replace_file(folder("peers/b.toml"), file);
    replace_file(folder("tinc/hosts/b"), host);
    daemon_->networks.prepare(lab_);
    EXPECT_FALSE(fs::exists(folder("tinc/hosts/b")));
    EXPECT_EQ(exported().nodes.size(), 1U);
    EXPECT_TRUE(shown().vpn->peers.empty());
}

TEST_F(NetworkVpnTest, TakesNoHalfWrittenFileForAHost) {
    run(wanted_vpn());
    run(NetworkPeerAdd{lab_, bundle_of(b_, "b", "10.90.0.64/26")});
    fs::copy_file(folder("peers/b.toml"), folder("peers/.b.toml.abcdef"));
    EXPECT_EQ(exported().nodes.size(), 2U);
    EXPECT_NO_THROW(exported().check());
}

TEST_F(NetworkVpnTest, HearsWhatCameBeforeItListened) {
    run(wanted_vpn());
    replace_file(folder("peer/inbox/b.json"), dump_json(encode(bundle_of(b_, "b", "10.90.0.64/26"))));
    std::thread hearing([&] { daemon_->networks.hear(); });
    for (int i = 0; i < 300 && !fs::exists(folder("tinc/hosts/b")); ++i) {
        std::this_thread::sleep_for(100ms);
    }
    EXPECT_TRUE(fs::exists(folder("tinc/hosts/b")));
    daemon_->networks.stop_hearing();
    hearing.join();
    daemon_->operations.stop(); // that one may not have ended
}

TEST_F(NetworkVpnTest, KeepsAPortOfANetworkWhoseRecordIsBroken) {
    run(wanted_vpn());
    const auto port = daemon_->store.networks.load(lab_).vpn->port;
    replace_file(folder("network.toml"), "broken");
    NetworkCreate other = wanted_vpn();
    other.name = Name::parse("other");
    other.subnet = Cidr::parse("10.90.16.0/20");
    other.subnet6.reset();
    other.vpn->port = port;
    EXPECT_EQ(refusal([&] { run(other); }).code(), ErrorCode::in_use);
}

TEST_F(NetworkVpnTest, HasNoAddressThatLeadsNowhere) {
    NetworkCreate call = wanted_vpn();
    for (const char* address : {"127.0.0.1", "10.90.0.9", "localhost", "fe80::1"}) {
        call.vpn->addresses = {VpnAddressWish::parse(address)};
        EXPECT_EQ(refusal([&] { run(call); }).code(), ErrorCode::invalid) << address;
    }
}

TEST_F(NetworkVpnTest, GivesUpTheSliceThatWasKeptUnderAnotherName) {
    run(wanted_vpn());
    const auto slice = exported(NodeName::parse("d")).slice;
    run(NetworkPeerAdd{lab_, bundle_of(b_, "b", slice->to_string())});
    EXPECT_TRUE(shown().spec->vpn->kept.empty());
    EXPECT_NE(exported(NodeName::parse("d")).slice, slice);
}

TEST_F(NetworkVpnTest, HearsWhatOthersTell) {
    run(wanted_vpn());
    const VpnBundle theirs = bundle_of(b_, "b", "10.90.0.64/26");
    replace_file(folder("peer/inbox/b.json"), dump_json(encode(theirs)));
    replace_file(folder("peer/inbox/evil.json"), R"({"format": 1})");
    run(NetworkPeerSync{lab_});
    EXPECT_TRUE(fs::exists(folder("tinc/hosts/b")));
    EXPECT_TRUE(fs::is_empty(folder("peer/inbox")));
}

TEST_F(NetworkVpnTest, RefusesWhatWasChangedOnTheWayAndChangesNothing) {
    run(wanted_vpn());
    VpnBundle theirs = bundle_of(b_, "b", "10.90.0.64/26");
    theirs.nodes[0].node.addresses = {VpnAddress::parse("192.0.2.66:1")};
    EXPECT_EQ(refusal([&] { run(NetworkPeerAdd{lab_, theirs}); }).code(), ErrorCode::verification);
    EXPECT_FALSE(fs::exists(folder("tinc/hosts/b")));
}

TEST_F(NetworkVpnTest, IsJoined) {
    run(wanted_vpn());
    VpnBundle theirs = bundle_of(b_, "b", "10.90.0.64/26");
    theirs.id = Uuid::make(); // another VPN, on the same wire as it were
    VpnNode node = theirs.nodes[0].node;
    node.network = theirs.id;
    theirs.nodes[0] = VpnStatement::make(node, b_);
    theirs.slice = Cidr::parse("10.90.0.128/26");
    NetworkJoin call;
    call.bundle = theirs;
    call.name = Name::parse("other");
    call.start = false;
    EXPECT_EQ(refusal([&] { run(call); }).code(), ErrorCode::in_use) << "its subnet is that of lab";
    run(NetworkDelete{lab_});
    const auto joined = decode<Network>(run(call));
    EXPECT_EQ(joined.vpn->peers.at(0).node.to_string(), "b");
    EXPECT_EQ(joined.spec->vpn->slice.to_string(), "10.90.0.128/26");
    EXPECT_EQ(refusal([&] { run(call); }).code(), ErrorCode::exists);
    call.name = Name::parse("again");
    EXPECT_EQ(refusal([&] { run(call); }).code(), ErrorCode::exists) << "this host is in it already";
}

TEST_F(NetworkVpnTest, GivesVmsAddressesOfItsSlice) {
    run(wanted_vpn());
    VmCreate call = wanted("web");
    call.start = false;
    call.networks = {NicSpec{lab_, {}, {}, {}}};
    run(call);
    const Nic nic = daemon_->store.vms.load(Name::parse("web")).nics.at(0);
    EXPECT_EQ(nic.ip->to_string(), "10.90.0.3");
    EXPECT_EQ(*nic.ip6, eui64_address(Cidr::parse("fd90::/64"), nic.mac));
    EXPECT_EQ(nic.mtu, 1380);
    EXPECT_EQ(exported().nodes.at(0).node.guests.at(0).name.to_string(), "web");
    EXPECT_THAT(read_file(folder("dns/hosts")), HasSubstr("web.lab.capsul"));
    VmCreate other = wanted("other");
    for (const char* ip : {"10.90.0.1", "10.90.0.2", "10.90.0.3", "10.90.0.65", "fd90::7"}) {
        const auto address = IpAddress::parse(ip);
        other.networks = {address.is_ipv6() ? NicSpec{lab_, {}, address, {}}
                                            : NicSpec{lab_, address, {}, {}}};
        refusal([&] { run(other); });
    }
    EXPECT_EQ(refusal([&] { run(NetworkDelete{lab_}); }).code(), ErrorCode::in_use);
}

TEST_F(NetworkVpnTest, ChangesItsSliceWhileNoVmIsInTheWay) {
    run(wanted_vpn());
    NetworkSet call{lab_, {}, {}, {}, Cidr::parse("10.90.4.0/24"), {}};
    const auto changed = decode<Network>(run(call));
    EXPECT_EQ(changed.vpn->ip.to_string(), "10.90.4.1");
    EXPECT_EQ(exported().nodes.at(0).node.slice, *call.slice);
    VmCreate vm = wanted("web");
    vm.start = false;
    vm.networks = {NicSpec{lab_, {}, {}, {}}};
    run(vm);
    call.slice = Cidr::parse("10.90.0.0/26");
    EXPECT_EQ(refusal([&] { run(call); }).code(), ErrorCode::in_use);
}

TEST_F(NetworkVpnTest, HasNoDnsServersToChoose) {
    run(wanted_vpn());
    for (const std::vector<IpAddress>& servers :
         {std::vector{IpAddress::parse("9.9.9.9")}, std::vector<IpAddress>{}}) {
        const Error error = refusal([&] { run(NetworkSet{lab_, {}, servers, {}, {}, {}}); });
        EXPECT_EQ(error.code(), ErrorCode::invalid);
        EXPECT_THAT(error.what(), HasSubstr("dns: is not of vpn networks"));
        EXPECT_THAT(error.hint(), HasSubstr("resolver"));
    }
    EXPECT_TRUE(shown().spec->dns.empty());
}

TEST_F(NetworkVpnTest, GivesAPortToOneNetworkOnly) {
    run(wanted_vpn());
    const auto port = daemon_->store.networks.load(lab_).vpn->port;
    NetworkCreate other = wanted_vpn();
    other.name = Name::parse("other");
    other.subnet = Cidr::parse("10.90.16.0/20");
    other.subnet6.reset();
    other.vpn->port = port;
    EXPECT_EQ(refusal([&] { run(other); }).code(), ErrorCode::in_use);
    other.vpn->port.reset();
    run(other);
    EXPECT_NE(daemon_->store.networks.load(other.name).vpn->port, port);
}

TEST_F(NetworkVpnTest, CountsItsWordsUpFromWhatWasTold) {
    run(wanted_vpn());
    const auto before = exported().nodes.at(0).node.version;
    EXPECT_EQ(exported().nodes.at(0).node.version, before); // nothing is new
    NetworkSet call{lab_, {}, {}, {}, {}, std::vector{VpnAddressWish::parse("192.0.2.9")}};
    run(call);
    const auto after = exported().nodes.at(0).node.version;
    EXPECT_GT(after, before);
    fs::remove(folder("peer/bundle.json"));
    EXPECT_GE(exported().nodes.at(0).node.version, before);
}

} // namespace
} // namespace capsul
