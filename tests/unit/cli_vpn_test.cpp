// What the command line makes of VPNs: whom ssh is let near, what is read from files, how peers look.
#include "cli/bundle_file.hpp"
#include "cli/network_view.hpp"
#include "cli/remote_host.hpp"
#include "cli/run_command.hpp"
#include "cli/vpn_view.hpp"
#include "lib/json.hpp"
#include "tests/vpn_records.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace capsul::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Words = std::vector<std::string>;

std::string error_of(const std::string& text) {
    try {
        static_cast<void>(parse_bundle("FILE: x", text));
    } catch (const Error& error) {
        EXPECT_NE(error.hint(), "") << error.what();
        return error.what();
    }
    return "";
}

TEST(SshUrl, TakesAHostAUserAndAPort) {
    const SshUrl all = SshUrl::parse("ssh://alice@host-a.example.org:2222");
    EXPECT_EQ(all.user(), "alice");
    EXPECT_EQ(all.host(), "host-a.example.org");
    EXPECT_EQ(all.port(), 2222);
    EXPECT_EQ(SshUrl::parse("ssh://lab_1").host(), "lab_1");
    EXPECT_EQ(SshUrl::parse("ssh://bob@[2001:db8::1]:22").host(), "2001:db8::1");
    for (const char* text : {"ssh://h", "ssh://a@h:1", "ssh://[::1]", "ssh://a@[2001:db8::1]:22"}) {
        EXPECT_EQ(SshUrl::parse(text).to_string(), text);
    }
}

TEST(SshUrl, RefusesWhatCouldMeanSomethingElseToSsh) {
    for (const char* text : {"",
                             "host",
                             "ssh://",
                             "ssh://@h",
                             "ssh://a@",
                             "http://h",
                             "SSH://h",
                             "ssh://-oProxyCommand=touch",
                             "ssh://-l",
                             "ssh://-oProxyCommand@h",
                             "ssh://a@-h",
                             "ssh://a b@h",
                             "ssh://a@h b",
                             "ssh://a;id@h",
                             "ssh://a@h;id",
                             "ssh://a@$(id)",
                             "ssh://a@h/path",
                             "ssh://a:secret@h",
                             "ssh://a@b@h",
                             "ssh://a%20b@h",
                             "ssh://h:0",
                             "ssh://h:",
                             "ssh://h:65536",
                             "ssh://h:22x",
                             "ssh://h:-1",
                             "ssh://[::1",
                             "ssh://[::1]x",
                             "ssh://[h]",
                             "ssh://[]",
                             "ssh://h\n",
                             "ssh://2001:db8::1"}) {
        EXPECT_THROW(static_cast<void>(SshUrl::parse(text)), Error) << text;
    }
}

TEST(SshWords, PutTheCommandInOneWordBehindTheHost) {
    const Words words =
        ssh_words(SshUrl::parse("ssh://alice@h:2222"), {"capsulctl", "network", "export", "mesh"}, true);
    EXPECT_THAT(words, testing::Contains("alice"));
    EXPECT_THAT(words, Not(testing::Contains("BatchMode=yes")));
    EXPECT_THAT(Words(words.end() - 3, words.end()), ElementsAre("--", "h", "capsulctl network export mesh"));
    EXPECT_THAT(ssh_words(SshUrl::parse("ssh://h"), {"x"}, false), testing::Contains("BatchMode=yes"));
}

TEST(SshWords, AreQuotedForTheShellThere) {
    EXPECT_EQ(ssh_words(SshUrl::parse("ssh://h"), {"a", "b c", "", "d'e", "$(id)"}, true).back(),
              R"(a 'b c' '' 'd'\''e' '$(id)')");
}

TEST(RunCommand, PassesMuchBothWaysAtOnce) {
    const std::string input(std::size_t{1} << 20U, 'x');
    const CommandResult result = run_command({"cat"}, input, std::size_t{2} << 20U);
    EXPECT_EQ(result.status, 0);
    EXPECT_EQ(result.out, input);
}

TEST(RunCommand, GivesTheExitCodeAndHasNoUseForInputThatIsNotRead) {
    EXPECT_EQ(run_command({"sh", "-c", "exit 3"}, std::string(std::size_t{1} << 20U, 'x'), 10).status, 3);
    EXPECT_EQ(run_command({"sh", "-c", "kill -KILL $$"}, "", 10).status, 137);
    EXPECT_EQ(run_command({"cat"}, "", 10).out, "");
}

TEST(RunCommand, TellsOfCtrlCWhateverTheProgramMakesOfIt) {
    const CommandResult result = run_command({"sh", "-c", "kill -INT $PPID; exit 3"}, "", 10);
    EXPECT_EQ(result.status, 3);
    EXPECT_TRUE(result.interrupted);
    EXPECT_FALSE(run_command({"true"}, "", 10).interrupted);
}

TEST(RunCommand, EndsWhatPrintsTooMuch) {
    try {
        static_cast<void>(run_command({"yes"}, "", 4096));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::too_large);
    }
}

TEST(RunCommand, SaysThatThereIsNoSuchProgram) {
    try {
        static_cast<void>(run_command({"capsul-no-such-program"}, "", 10));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::not_capable);
        EXPECT_THAT(error.what(), HasSubstr("capsul-no-such-program"));
    }
}

TEST(BundleFile, IsReadAsItWasWritten) {
    const VpnBundle bundle = test::bundle_of({"host_a", "host_b"});
    EXPECT_EQ(encode(parse_bundle("x", bundle_text(bundle))), encode(bundle));
}

TEST(BundleFile, TellsWhatElseItIs) {
    const std::string text = bundle_text(test::bundle_of({"host_a"}));
    EXPECT_EQ(error_of(" \n"), "FILE: x: is empty");
    EXPECT_THAT(error_of("Address = 192.0.2.1 11655\n-----BEGIN RSA PUBLIC KEY-----\nMIIC\n"),
                HasSubstr("is a host file of tinc"));
    EXPECT_THAT(error_of("-----BEGIN RSA PRIVATE KEY-----\n"), HasSubstr("private key"));
    EXPECT_THAT(error_of("capsul-join-abc"), HasSubstr("is not what a host of a VPN exports"));
    EXPECT_THAT(error_of(text.substr(0, text.size() / 2)), HasSubstr("is cut off"));
    EXPECT_THAT(error_of(R"({"name": "mesh", "state": "running"})"), HasSubstr("FILE: x: "));
    EXPECT_THAT(error_of("{{{}"), HasSubstr("FILE: x: "));
}

TEST(BundleFile, IsRefusedWhenItWasChangedOnTheWay) {
    std::string text = bundle_text(test::bundle_of({"host_a"}));
    text.replace(text.find("192.0.2.1:"), 10, "192.0.2.6:");
    try {
        static_cast<void>(parse_bundle("FILE: x", text));
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::verification);
        EXPECT_THAT(error.what(), HasSubstr("host host_a: "));
    }
}

TEST(VpnAddressWish, MayLeaveThePortToTheNetwork) {
    for (const char* text :
         {"192.0.2.1", "vpn.example.org", "[2001:db8::1]", "192.0.2.1:7", "[2001:db8::1]:7"}) {
        EXPECT_EQ(VpnAddressWish::parse(text).to_string(), text);
    }
    EXPECT_EQ(VpnAddressWish::parse("2001:db8::1").with_default(655).to_string(), "[2001:db8::1]:655");
    EXPECT_EQ(VpnAddressWish::parse("192.0.2.1:7").with_default(655).to_string(), "192.0.2.1:7");
    for (const char* text :
         {"", ":7", "192.0.2.1:", "192.0.2.1:0", "a b", "a\n", "[::1", "a:b:c", "192.0.2"}) {
        EXPECT_THROW(static_cast<void>(VpnAddressWish::parse(text)), Error) << text;
    }
}

std::string peers_as(const std::vector<VpnPeer>& peers, Format format) {
    OutputOptions options;
    options.format = format;
    return render_grid(make_grid<VpnPeer>(peers, peer_columns(), options), options);
}

TEST(VpnView, ListsPeersAndWhetherTheyAreReached) {
    std::vector<VpnPeer> peers = test::vpn_shown({"host_a", "host_b", "host_c"}).vpn->peers;
    peers[1].reachable = false;
    EXPECT_EQ(peers_as(peers, Format::table),
              "NODE    REACHABLE  LAST-SEEN             ADDRESSES        SLICE         VMS\n"
              "host_b  yes        2026-11-22T06:01:00Z  192.0.2.2:11655  10.90.4.0/22    0\n"
              "host_c  no         2026-11-22T06:01:00Z  192.0.2.2:11655  10.90.8.0/22    0\n");
    peers[0].reachable = std::nullopt;
    peers[0].problem = "its slice is host_c's, too";
    EXPECT_THAT(peers_as(peers, Format::table), HasSubstr("host_b  -  "));
    EXPECT_THAT(peers_as(peers, Format::table), HasSubstr("its slice is host_c's, too"));
    EXPECT_THAT(peers_as(peers, Format::csv), HasSubstr("node,reachable,last-seen,addresses,slice,ip,ip6,vms,"
                                                        "identity,problem\n"));
}

TEST(VpnView, ShowsTheHostAndThenItsPeers) {
    Network network = test::vpn_shown({"host_a", "host_b"});
    network.spec->vpn->kept = {{NodeName::parse("host_c"), Cidr::parse("10.90.8.0/22")}};
    network.vpn->counters = LinkCounters{2048, 3, 1, 1024, 2, 0};
    const std::string identity = network.spec->vpn->identity.to_string();
    EXPECT_EQ(render_network(network, {}),
              "Name:            mesh\n"
              "Type:            vpn\n"
              "State:           running\n"
              "Starts at boot:  no\n"
              "Unit:            capsul-net-mesh.service\n"
              "Bridge:          cap-mesh\n"
              "Subnet:          10.90.0.0/16\n"
              "IPv6 subnet:     fd90:1::/64\n"
              "IPv6 addresses:  made of the NIC's MAC (EUI-64)\n"
              "Node:            host_a\n"
              "Slice:           10.90.0.0/22\n"
              "Kept slices:     10.90.8.0/22 for host_c\n"
              "Reached at:      192.0.2.1:11655\n"
              "Port:            11655 (TCP and UDP)\n"
              "MTU:             1400\n"
              "Identity:        " +
                  identity.substr(0, 16) +
                  "\n"
                  "Tunnel:          running\n"
                  "  Received:      2.0 KiB in 3 packets, 1 dropped\n"
                  "  Sent:          1.0 KiB in 2 packets, 0 dropped\n"
                  "Host's address:  10.90.0.1\n"
                  "Names:           VM.mesh.capsul, asked of 10.90.0.2\n"
                  "Peers:           1/1 reachable\n"
                  "Isolated:        no\n"
                  "DHCP:            off\n"
                  "Created:         2026-11-22T06:00:00Z\n"
                  "\n"
                  "NODE    REACHABLE  LAST-SEEN             ADDRESSES        SLICE         VMS\n"
                  "host_b  yes        2026-11-22T06:01:00Z  192.0.2.2:11655  10.90.4.0/22    0\n");
    OutputOptions wide;
    wide.format = Format::wide;
    EXPECT_THAT(render_network(network, wide), HasSubstr("Identity:        " + identity + "\n"));
}

TEST(VpnView, ShowsOneThatIsAloneAndCannotBeCalled) {
    Network network = test::vpn_shown({"host_a"});
    network.spec->vpn->addresses.clear();
    network.vpn->tunnel = NetworkState::stopped;
    const std::string text = render_network(network, {});
    EXPECT_THAT(text, HasSubstr("Reached at:      nowhere: this host calls the others\n"));
    EXPECT_THAT(text, HasSubstr("Peers:           none yet\n"));
    EXPECT_THAT(text, Not(HasSubstr("NODE")));
}

TEST(VpnView, CountsPeersInTheListOfNetworks) {
    OutputOptions options;
    const std::vector<Network> networks{test::vpn_shown({"host_a", "host_b", "host_c"})};
    EXPECT_EQ(render_grid(make_grid(networks, network_columns(), options), options),
              "NAME  TYPE  STATE    BRIDGE    SUBNET        SUBNET6      VMS  PEERS\n"
              "mesh  vpn   running  cap-mesh  10.90.0.0/16  fd90:1::/64       2/2\n");
}

} // namespace
} // namespace capsul::cli
