#include "lib/vpn.hpp"

#include "lib/error.hpp"
#include "lib/json.hpp"
#include "tests/lab_records.hpp"

#include <functional>
#include <gtest/gtest.h>

namespace capsul {
namespace {

ErrorCode code_of(const std::function<void()>& work) {
    try {
        work();
    } catch (const Error& error) {
        return error.code();
    }
    ADD_FAILURE() << "nothing was refused";
    return ErrorCode::internal;
}

class VpnBundleTest : public testing::Test {
  protected:
    const PrivateIdentity b_ = PrivateIdentity::generate();
    const PrivateIdentity c_ = PrivateIdentity::generate();

    [[nodiscard]] VpnBundle good() const {
        return test::lab::vpn_bundle(
            {VpnStatement::make(test::lab::vpn_node("b", "10.90.0.64/26", b_.identity()), b_),
             VpnStatement::make(test::lab::vpn_node("c", "10.90.0.128/26", c_.identity()), c_)});
    }
    /// With the first host changed and signed anew.
    template <class Change>
    [[nodiscard]] VpnBundle with(Change change) const {
        VpnBundle bundle = good();
        VpnNode node = bundle.nodes[0].node;
        change(node);
        bundle.nodes[0] = VpnStatement::make(node, b_);
        return bundle;
    }
    static void expect_refused(const VpnBundle& bundle, ErrorCode code = ErrorCode::invalid) {
        const std::string text = dump_json(encode(bundle));
        EXPECT_EQ(code_of([&] { static_cast<void>(VpnBundle::from_text(text)); }), code) << text;
    }
};

} // namespace

TEST(NodeName, RefusesWhatIsNoFileNameForTinc) {
    for (const char* text : {"", "../x", "a/b", "a.b", "a-b", "A", "1a", "_a", "a\nb", "a b", "tinc.conf"}) {
        EXPECT_THROW(static_cast<void>(NodeName::parse(text)), Error) << text;
    }
    EXPECT_THROW(static_cast<void>(NodeName::parse(std::string(33, 'a'))), Error);
    EXPECT_EQ(NodeName::parse("host_a2").to_string(), "host_a2");
}

TEST(NodeName, IsMadeOfAnyHostName) {
    EXPECT_EQ(NodeName::of_host("Host-A.example.org").to_string(), "host_a");
    EXPECT_EQ(NodeName::of_host("42").to_string(), "h42");
    EXPECT_EQ(NodeName::of_host("").to_string(), "h");
    EXPECT_EQ(NodeName::of_host(std::string(64, 'x')).to_string(), std::string(32, 'x'));
    EXPECT_EQ(NodeName::of_host(std::string(64, '9')).to_string(), "h" + std::string(31, '9'));
}

TEST(VpnAddress, HasOneForm) {
    EXPECT_EQ(VpnAddress::parse("192.0.2.1:11655").to_string(), "192.0.2.1:11655");
    EXPECT_EQ(VpnAddress::parse("[2001:DB8:0::1]:655").to_string(), "[2001:db8::1]:655");
    EXPECT_EQ(VpnAddress::parse("VPN.Example.org:655").to_string(), "vpn.example.org:655");
    EXPECT_EQ(VpnAddress::parse("host-a", 11655).to_string(), "host-a:11655");
    EXPECT_EQ(VpnAddress::parse("2001:db8::1", 11655).to_string(), "[2001:db8::1]:11655");
}

TEST(VpnAddress, RefusesWhatWouldBeMoreThanAnAddressInTincsFiles) {
    for (const char* text : {"",
                             ":1",
                             "a b:1",
                             "a\nCipher=none:1",
                             "a:1\n",
                             "a:0",
                             "a:65536",
                             "a:",
                             "a",
                             "[::1]",
                             "[::1:1",
                             "[x]:1",
                             "-a:1",
                             "a-:1",
                             "a..b:1",
                             "a_b:1",
                             "a/b:1",
                             "300.0.0.1:1",
                             "192.0.2.1 655:655",
                             "a:1:2",
                             "a;b:1",
                             "a:+1",
                             ".:1"}) {
        EXPECT_THROW(static_cast<void>(VpnAddress::parse(text)), Error) << text;
    }
}

TEST(VpnAddresses, FollowFromTheSlice) {
    const Cidr slice = Cidr::parse("10.90.0.64/26");
    EXPECT_EQ(vpn_host_ip(slice).to_string(), "10.90.0.65");
    EXPECT_EQ(vpn_resolver_ip(slice).to_string(), "10.90.0.66");
    EXPECT_EQ(vpn_ip6(Cidr::parse("fd90::/64"), vpn_host_ip(slice)).to_string(), "fd90::a5a:41");
}

TEST(VpnAddresses, OfVmsFollowFromTheirMac) { // the example of RFC 4291, appendix A, with a MAC of our kind
    EXPECT_EQ(eui64_address(Cidr::parse("fd90::/64"), Mac::parse("36:56:78:9a:bc:de")).to_string(),
              "fd90::3456:78ff:fe9a:bcde");
    EXPECT_EQ(eui64_address(Cidr::parse("fd90::/64"), Mac::parse("02:00:00:00:00:01")).to_string(),
              "fd90::ff:fe00:1");
}

TEST(VpnSlices, AreForSixtyFourHostsWhereThereIsRoom) {
    const auto length = [](const char* subnet) { return vpn_slice_length(Cidr::parse(subnet)); };
    EXPECT_EQ(length("10.90.0.0/16"), 22);
    EXPECT_EQ(length("10.90.0.0/20"), 26);
    EXPECT_EQ(length("10.90.0.0/24"), 27);
    EXPECT_EQ(length("10.90.0.0/27"), 28);
}

TEST(RsaPublicKey, IsWrittenAsTincReadsIt) {
    const RsaPublicKey key = RsaPublicKey::parse(test::lab::rsa_key);
    EXPECT_TRUE(key.to_pem().starts_with("-----BEGIN RSA PUBLIC KEY-----\nMII"));
    EXPECT_TRUE(key.to_pem().ends_with("\n-----END RSA PUBLIC KEY-----\n"));
}

TEST(RsaPublicKey, RefusesWhatIsWeakOrNone) {
    const std::string good = test::lab::rsa_key;
    for (const std::string& text : {std::string(), std::string("AAAA"), std::string(test::lab::weak_rsa_key),
                                    good + "AAAA", "\n" + good, good.substr(4), std::string(100'000, 'A')}) {
        EXPECT_THROW(static_cast<void>(RsaPublicKey::parse(text)), Error) << text.substr(0, 80);
    }
}

TEST(RsaKeyPair, IsOneThatOthersTake) {
    const RsaKeyPair pair = RsaKeyPair::generate();
    EXPECT_EQ(RsaPublicKey::parse(pair.public_key.to_string()), pair.public_key);
    EXPECT_TRUE(pair.private_pem.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
}

TEST(Identity, KnowsItsSignature) {
    const PrivateIdentity key = PrivateIdentity::generate();
    const std::string signature = key.sign("text");
    EXPECT_TRUE(key.identity().has_signed("text", signature));
    EXPECT_FALSE(key.identity().has_signed("texT", signature));
    EXPECT_FALSE(key.identity().has_signed("text", "AAAA"));
    EXPECT_FALSE(key.identity().has_signed("text", ""));
    EXPECT_FALSE(PrivateIdentity::generate().identity().has_signed("text", signature));
    EXPECT_EQ(PrivateIdentity::parse(key.to_pem()).identity(), key.identity());
    EXPECT_THROW(static_cast<void>(PrivateIdentity::parse("-----BEGIN PRIVATE KEY-----\n")), Error);
    EXPECT_THROW(static_cast<void>(Identity::parse("AAAA")), Error);
}

TEST_F(VpnBundleTest, ComesBackAsItWas) {
    const VpnBundle bundle = good();
    const VpnBundle again = VpnBundle::from_text(dump_json(encode(bundle), 2));
    EXPECT_EQ(encode(again), encode(bundle));
}

TEST_F(VpnBundleTest, RefusesWhatWasChangedOnTheWay) {
    VpnBundle bundle = good();
    bundle.nodes[1].node.addresses = {VpnAddress::parse("192.0.2.66:1")};
    expect_refused(bundle, ErrorCode::verification);
    bundle = good();
    std::swap(bundle.nodes[0].signature, bundle.nodes[1].signature);
    expect_refused(bundle, ErrorCode::verification);
    bundle = good();
    bundle.nodes[0].node.key = RsaPublicKey();
    expect_refused(bundle);
}

TEST_F(VpnBundleTest, RefusesWhatContradictsItself) {
    VpnBundle bundle = good();
    bundle.nodes.push_back(bundle.nodes[0]);
    expect_refused(bundle);
    bundle = good();
    bundle.nodes.clear();
    expect_refused(bundle);
    bundle = good();
    bundle.format = 2;
    expect_refused(bundle);
    bundle = good();
    bundle.slice = Cidr::parse("10.91.0.0/26");
    expect_refused(bundle);
    bundle = good();
    bundle.subnet6 = Cidr::parse("fd90::/48");
    expect_refused(bundle);
    expect_refused(with([](VpnNode& node) { node.slice = Cidr::parse("10.90.16.0/26"); }));
    expect_refused(with([](VpnNode& node) { node.slice = Cidr::parse("10.90.0.0/20"); }));
    expect_refused(with([](VpnNode& node) { node.network = Uuid::make(); }));
    expect_refused(with([](VpnNode& node) {
        node.guests = {{Name::parse("web"), IpAddress::parse("10.90.0.7"), {}}};
    }));
    expect_refused(with([](VpnNode& node) {
        node.guests = {{Name::parse("web"), {}, IpAddress::parse("2001:db8::7")}};
    }));
    expect_refused(with([](VpnNode& node) { node.name = NodeName::parse("c"); }));
}

TEST_F(VpnBundleTest, RefusesTricksInEveryField) {
    const std::string text = dump_json(encode(good()));
    for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
             {R"("name":"b")", R"("name":"../b")"},
             {R"("name":"b")", R"("name":"b\nConnectTo = c")"},
             {"192.0.2.2:11655", "192.0.2.2 655\\nCipher = none:1"},
             {"192.0.2.2:11655", "$(id):1"},
             {R"("network":"lab")", R"("network":"../../etc")"},
             {"10.90.0.64/26", "10.90.0.65/26"},
             {R"("version":1)", R"("version":-1)"},
             {R"("version":1)", R"("version":1,"tinc_up":"id")"},
             {R"("mtu":1380)", R"("mtu":"1380")"},
             {R"("identity":")", R"("identity":"\n)"}}) {
        std::string changed = text;
        const auto place = changed.find(from);
        ASSERT_NE(place, std::string::npos) << from;
        changed.replace(place, from.size(), to);
        EXPECT_EQ(code_of([&] { static_cast<void>(VpnBundle::from_text(changed)); }), ErrorCode::invalid)
            << to;
    }
}

TEST_F(VpnBundleTest, RefusesWhatIsTooLong) {
    EXPECT_EQ(
        code_of([] { static_cast<void>(VpnBundle::from_text(std::string(most_bundle_bytes + 1, ' '))); }),
        ErrorCode::too_large);
}

TEST_F(VpnBundleTest, RefusesAHostThatTellsTooMuch) {
    expect_refused(with([](VpnNode& node) { node.version = std::uint64_t{1} << 63U; }));
    expect_refused(with([](VpnNode& node) {
        node.guests.resize(most_vpn_guests + 1, {Name::parse("web"), {}, {}});
    }));
    expect_refused(with([](VpnNode& node) {
        node.addresses.resize(most_vpn_addresses + 1, VpnAddress::parse("192.0.2.7:1"));
    }));
    VpnBundle bundle = good();
    bundle.revoked.resize(most_revoked_identities + 1, bundle.nodes[0].node.identity);
    expect_refused(bundle);
}

// Other hosts call them.
TEST_F(VpnBundleTest, RefusesAddressesThatAreTheReadersOwn) {
    for (const char* address :
         {"127.0.0.1:22", "0.0.0.0:1", "169.254.169.254:80", "224.0.0.1:1", "255.255.255.255:1", "[::1]:22",
          "[::]:1", "[fe80::1]:1", "[ff02::1]:1", "10.90.0.1:1", "[fd90::1]:1", "localhost:22",
          "a.localhost:22", "0x7f.1:22"}) {
        expect_refused(with([&](VpnNode& node) { node.addresses = {VpnAddress::parse(address)}; }));
    }
}

TEST_F(VpnBundleTest, HasRoomForTheLargestVpn) {
    const Name longest = Name::parse("n" + std::string(62, 'm'));
    VpnBundle bundle = good();
    bundle.nodes.clear();
    for (std::size_t i = 0; i < most_vpn_nodes; ++i) {
        const PrivateIdentity who = PrivateIdentity::generate();
        VpnNode node = test::lab::vpn_node("n" + std::to_string(i), "10.90.0.128/25", who.identity());
        node.guests.resize(most_vpn_guests, {longest, IpAddress::parse("10.90.0.200"),
                                             IpAddress::parse("fd90::1234:5678:9abc:def0")});
        node.addresses.resize(most_vpn_addresses, VpnAddress::parse(std::string(250, 'a') + ".b:65535"));
        bundle.nodes.push_back(VpnStatement::make(node, who));
    }
    EXPECT_LT(dump_json(encode(bundle)).size(), most_bundle_bytes);
}

} // namespace capsul
