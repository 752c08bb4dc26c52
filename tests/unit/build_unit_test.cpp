#include "daemon/build_unit.hpp"
#include "daemon/unit_file.hpp"

#include "tests/unit/golden.hpp"

namespace capsul {
namespace {

BuildPlace place() {
    const Uuid id = Uuid::parse("2f0a4a8e-33a5-4d6c-9a49-0d2a7d4d9d11");
    return {id, "/home/alice/.local/share/capsul/builds/" + id.to_string(),
            "/var/tmp/capsul-build-" + id.to_string(), "/home/alice/.local/state/capsul/builds/web.log",
            "/usr/libexec/capsul"};
}

ImageBuild call() {
    ImageBuild build;
    build.name = Name::parse("web");
    build.include = {PackageName::parse("nginx"), PackageName::parse("g++")};
    return build;
}

TEST(BuildUnit, IsAsGolden) {
    expect_golden("capsul-build-loader.service", build_unit(place(), call()));
    ImageBuild direct = call();
    direct.boot = BootForm::direct;
    direct.release = DebianRelease::trixie;
    direct.size = Bytes::parse("8G");
    direct.mirror = Url::parse("http://[fd00::1]:3142/debian%20mirror/$HOME/100%25");
    expect_golden("capsul-build-direct.service", build_unit(place(), direct));
    expect_golden("capsul-build-removal.service", build_removal_unit(place()));
}

TEST(BuildUnit, IsSealed) {
    EXPECT_EQ(check_seal(build_unit(place(), call())), SealState::whole);
    EXPECT_EQ(check_seal(build_removal_unit(place())), SealState::whole);
}

TEST(BuildUnit, LeavesNewuidmapItsPrivilege) {
    for (const std::string& unit : {build_unit(place(), call()), build_removal_unit(place())}) {
        for (const char* directive : {"NoNewPrivileges", "PrivateUsers", "SystemCall", "Restrict", "Protect",
                                      "Lock", "MemoryDenyWriteExecute"}) {
            EXPECT_EQ(unit.find(directive), std::string::npos) << directive;
        }
    }
}

TEST(BuildUnit, IsKnownByItsName) {
    EXPECT_EQ(build_of_unit(build_unit_name(place().id)), place().id);
    for (const char* other : {"capsul-build-.service", "capsul-build-web.service", "capsul-build.service", "",
                              "capsul-fetch-2f0a4a8e-33a5-4d6c-9a49-0d2a7d4d9d11.service",
                              "capsul-build-2f0a4a8e-33a5-4d6c-9a49-0d2a7d4d9d11.socket"}) {
        EXPECT_FALSE(build_of_unit(other)) << other;
    }
}

} // namespace
} // namespace capsul
