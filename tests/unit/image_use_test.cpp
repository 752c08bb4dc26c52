// Which VMs are made from which image: told by content, and by the name only where contents are the same.
#include "daemon/image_use.hpp"
#include "lib/fd.hpp"
#include "tests/temporary_folder.hpp"

#include <gtest/gtest.h>

namespace capsul {
namespace {

using Names = std::vector<Name>;

Digest digest_of(char content) {
    return Digest::parse("sha256:" + std::string(64, content));
}

class ImageUseTest : public testing::Test {
  protected:
    ImageUseTest() {
        paths_.data = folder_.path();
        store_.emplace(paths_);
        make_folders(paths_.images());
    }

    void add_image(const std::string& name, char content, const std::optional<DirectKernel>& boot = {}) {
        ImageRecord image;
        image.name = Name::parse(name);
        image.digest = digest_of(content);
        image.size = Bytes::parse("1G");
        image.boot = boot;
        store_->images.save(image);
    }
    void add_vm(const std::string& name, const std::string& image, char content,
                const std::optional<DirectKernel>& boot = {}) {
        VmRecord vm;
        vm.name = Name::parse(name);
        vm.uuid = Uuid::make();
        vm.image = Name::parse(image);
        vm.image_digest = digest_of(content);
        vm.boot = boot;
        vm.memory = vm.disk = Bytes::parse("1G");
        store_->vms.save(vm);
    }
    void add_alias(const std::string& name, const std::string& image) {
        AliasRecord alias;
        alias.name = Name::parse(name);
        alias.image = Name::parse(image);
        store_->aliases.save(alias);
    }
    Names vms_of(const std::string& image) { return ImageUse(*store_).vms_of(Name::parse(image)); }
    static Names names(const std::vector<std::string>& words) {
        Names all;
        for (const std::string& word : words) {
            all.push_back(Name::parse(word));
        }
        return all;
    }

    test::TemporaryFolder folder_;
    Paths paths_;
    std::optional<Store> store_;
};

TEST_F(ImageUseTest, OldVersionsOfAnAliasKeepTheirVms) {
    add_image("debian-12-a", 'a');
    add_image("debian-12-b", 'b');
    add_alias("debian-12", "debian-12-b");
    add_vm("old", "debian-12", 'a');
    add_vm("new", "debian-12", 'b');
    EXPECT_EQ(vms_of("debian-12-a"), names({"old"}));
    EXPECT_EQ(vms_of("debian-12-b"), names({"new"}));
    EXPECT_EQ(ImageUse(*store_).aliases_of(Name::parse("debian-12-b")), names({"debian-12"}));
}

TEST_F(ImageUseTest, OfImagesOfOneContentThatWhichTheVmNames) {
    add_image("one", 'a');
    add_image("two", 'a');
    add_vm("web", "two", 'a');
    EXPECT_EQ(vms_of("one"), Names{});
    EXPECT_EQ(vms_of("two"), names({"web"}));
}

TEST_F(ImageUseTest, OfImagesOfOneContentEachWhereTheVmNamesNone) {
    add_image("one", 'a');
    add_image("two", 'a');
    add_vm("web", "gone", 'a');
    EXPECT_EQ(vms_of("one"), names({"web"}));
    EXPECT_EQ(vms_of("two"), names({"web"}));
}

TEST_F(ImageUseTest, TellsImagesWithTheSameDiskByTheirKernel) {
    const DirectKernel kernel{digest_of('e'), {}, "quiet"};
    add_image("plain", 'a');
    add_image("direct", 'a', kernel);
    add_vm("web", "some-alias", 'a', kernel);
    EXPECT_EQ(vms_of("plain"), Names{});
    EXPECT_EQ(vms_of("direct"), names({"web"}));
}

TEST_F(ImageUseTest, GoesByTheDiskWhereTheCommandLineWasChangedByHand) {
    add_image("direct", 'a', DirectKernel{digest_of('e'), {}, "quiet"});
    add_vm("web", "some-alias", 'a', DirectKernel{digest_of('e'), {}, "loud"});
    EXPECT_EQ(vms_of("direct"), names({"web"}));
}

TEST_F(ImageUseTest, DoesNotCountAVmForAnImageThatGotItsNameLater) {
    add_image("debian-12", 'b');
    add_vm("web", "debian-12", 'a');
    EXPECT_EQ(vms_of("debian-12"), Names{});
}

TEST_F(ImageUseTest, GoesByTheNameWhereTheRecordCannotBeRead) {
    replace_file(paths_.images() / "bad.toml", "typo");
    replace_file(paths_.images() / "other.toml", "typo");
    add_vm("web", "bad", 'a');
    EXPECT_EQ(vms_of("bad"), names({"web"}));
    EXPECT_EQ(vms_of("other"), Names{});
}

TEST_F(ImageUseTest, CountsInHowManyImagesAFileIs) {
    add_image("one", 'a', DirectKernel{digest_of('e'), {}, ""});
    add_image("two", 'a');
    const ImageUse use(*store_);
    EXPECT_EQ(use.files.at("sha256-" + std::string(64, 'a') + ".qcow2"), 2);
    EXPECT_EQ(use.files.at("sha256-" + std::string(64, 'e') + ".kernel"), 1);
}

} // namespace
} // namespace capsul
