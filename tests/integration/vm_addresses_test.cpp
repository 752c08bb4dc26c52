// Which addresses VMs are given, and refused: on bridges that several networks are on, beside what the
// administrator allows, and beside VMs whose record cannot be read. The network's helper is made up.
#include "daemon/netlink.hpp"
#include "tests/integration/vm_fixture.hpp"
#include "tests/network_records.hpp"

#include <gmock/gmock.h>

namespace capsul {
namespace {

using testing::HasSubstr;

/// Allows some addresses on br0, and makes nothing.
constexpr const char* helper =
    "#!/bin/sh\n[ \"$1\" != check-policy ] || printf '0 prefix cap- -\\n0 ip br0 10.81.0.0/24\\n'\n";

class VmAddressesTest : public VmServiceTest {
  protected:
    VmAddressesTest() {
        replace_file(daemon_->programs / "capsul-net", helper, 0755);
        add(test::nat_network("lan", "10.80.0.0/24"));
        add(on_br0("pub", "10.81.0.16-10.81.0.31"));
        add(on_br0("more", "10.81.0.32-10.81.0.47"));
    }

    static NetworkRecord on_br0(const std::string& name, const char* range) {
        NetworkRecord network = test::bridge_network(name, "br0");
        network.subnet = Cidr::parse("10.81.0.0/16");
        network.range = IpRange::parse(range);
        return network;
    }

    void add(const NetworkRecord& network) {
        make_folders(paths_.network(network.name));
        daemon_->store.networks.save(network);
    }

    /// Makes a VM that is not started; its one NIC.
    Nic make(const std::string& name, const std::string& nic) {
        VmCreate call = wanted(name);
        call.networks = {NicSpec::from_text(nic)};
        call.start = false;
        return decode<Vm>(run(call)).spec->nics.front();
    }

    Error refused(const std::string& nic) {
        return refusal([&] { make("web", nic); });
    }
};

TEST_F(VmAddressesTest, AreGivenOnceOnOneBridge) {
    EXPECT_EQ(make("db", "pub,ip=10.81.0.32").ip, IpAddress::parse("10.81.0.32"));
    EXPECT_EQ(make("web", "more").ip, IpAddress::parse("10.81.0.33"));
}

TEST_F(VmAddressesTest, OfAnotherNetworkOnTheBridgeAreRefused) {
    make("db", "pub,ip=10.81.0.40");
    const Error error = refused("more,ip=10.81.0.40");
    EXPECT_EQ(error.code(), ErrorCode::in_use);
    EXPECT_STREQ(error.what(), "network more: 10.81.0.40 belongs to the VM db");
    EXPECT_THAT(error.hint(), HasSubstr("capsulctl network leases more"));
    run(NetworkReserve{Name::parse("pub"), IpAddress::parse("10.81.0.41"), Name::parse("other")});
    EXPECT_THAT(refused("more,ip=10.81.0.41").what(), HasSubstr("kept for the VM other on the network pub"));
}

TEST_F(VmAddressesTest, AreAmongThoseThatTheAdministratorAllows) {
    EXPECT_EQ(refused("pub,ip=10.81.1.9").code(), ErrorCode::denied);
    const NetworkReserve call{Name::parse("pub"), IpAddress::parse("10.81.1.9"), Name::parse("web")};
    EXPECT_EQ(refusal([&] { run(call); }).code(), ErrorCode::denied);
}

TEST_F(VmAddressesTest, AreNoneOfTheHostsOwn) {
    const auto own = host_addresses();
    ASSERT_THAT(own, testing::Contains(IpAddress::parse("127.0.0.1")));
    NetworkRecord network = test::bridge_network("loop", "br1");
    network.subnet = Cidr::parse("127.0.0.0/29");
    add(network);
    const Error error = refused("loop,ip=127.0.0.1");
    EXPECT_EQ(error.code(), ErrorCode::in_use);
    EXPECT_STREQ(error.what(), "network loop: 127.0.0.1 is this host's own");
}

TEST_F(VmAddressesTest, AreNotTakenFromAVmWhoseRecordIsBroken) {
    const Nic lost = make("lost", "lan");
    replace_file(paths_.vm(Name::parse("lost")) / "vm.toml", "what is this");
    EXPECT_NE(make("db", "lan").ip, lost.ip);
    EXPECT_THAT(refused("lan,ip=" + lost.ip->to_string()).what(), HasSubstr("belongs to the VM lost"));
    EXPECT_THAT(refused("lan,mac=" + lost.mac.to_string()).what(), HasSubstr("belongs to the VM lost"));
    run(VmDelete{Name::parse("db")});
    const Error error = refusal([&] { run(NetworkDelete{Name::parse("lan")}); });
    EXPECT_EQ(error.code(), ErrorCode::in_use);
    EXPECT_THAT(error.what(), HasSubstr("VMs have a NIC on it: lost"));
}

TEST_F(VmAddressesTest, OfAVmThatIsBeingMadeAreNotKeptForAnother) {
    make("web", "lan,ip=10.80.0.9");
    const fs::path record = paths_.vm(Name::parse("web")) / "vm.toml";
    fs::rename(record, folder_.path() / "later");
    auto making = daemon_->networks.hold(); // as whoever makes it, until its record is there
    const Json keeping =
        ask(NetworkReserve{Name::parse("lan"), IpAddress::parse("10.80.0.9"), Name::parse("other")});
    std::this_thread::sleep_for(100ms); // a disk takes its time
    fs::rename(folder_.path() / "later", record);
    making.unlock();
    EXPECT_EQ(refusal([&] { finish(keeping); }).code(), ErrorCode::in_use);
}

} // namespace
} // namespace capsul
