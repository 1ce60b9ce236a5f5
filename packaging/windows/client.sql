UPDATE `Component` SET `Condition`='SERVICEURL' WHERE `Component`='ServiceUrl'
UPDATE `Component` SET `Condition`='ENTERPRISEPUBLISHING' WHERE `Component`='EnterprisePublishing'
UPDATE `Component` SET `Condition`='CLOUDPUBLISHING' WHERE `Component`='CloudPublishing'
UPDATE `Component` SET `Condition`='HIERARCHY' WHERE `Component`='Hierarchy'
UPDATE `Component` SET `Condition`='TEMPLATES' WHERE `Component`='Templates'
UPDATE `Component` SET `Condition`='PROXY' WHERE `Component`='Proxy'
INSERT INTO `CustomAction` (`Action`, `Type`, `Source`, `Target`) VALUES ('KeepServiceUrl', 51, 'SERVICEURL', '[KEPTSERVICEURL]')
INSERT INTO `InstallExecuteSequence` (`Action`, `Condition`, `Sequence`) VALUES ('KeepServiceUrl', 'NOT SERVICEURL AND KEPTSERVICEURL', 51)
INSERT INTO `CustomAction` (`Action`, `Type`, `Source`, `Target`) VALUES ('KeepEnterprisePublishing', 51, 'ENTERPRISEPUBLISHING', '[KEPTENTERPRISEPUBLISHING]')
INSERT INTO `InstallExecuteSequence` (`Action`, `Condition`, `Sequence`) VALUES ('KeepEnterprisePublishing', 'NOT ENTERPRISEPUBLISHING AND KEPTENTERPRISEPUBLISHING', 52)
INSERT INTO `CustomAction` (`Action`, `Type`, `Source`, `Target`) VALUES ('KeepCloudPublishing', 51, 'CLOUDPUBLISHING', '[KEPTCLOUDPUBLISHING]')
INSERT INTO `InstallExecuteSequence` (`Action`, `Condition`, `Sequence`) VALUES ('KeepCloudPublishing', 'NOT CLOUDPUBLISHING AND KEPTCLOUDPUBLISHING', 53)
INSERT INTO `CustomAction` (`Action`, `Type`, `Source`, `Target`) VALUES ('KeepHierarchy', 51, 'HIERARCHY', '[KEPTHIERARCHY]')
INSERT INTO `InstallExecuteSequence` (`Action`, `Condition`, `Sequence`) VALUES ('KeepHierarchy', 'NOT HIERARCHY AND KEPTHIERARCHY', 54)
INSERT INTO `CustomAction` (`Action`, `Type`, `Source`, `Target`) VALUES ('KeepTemplates', 51, 'TEMPLATES', '[KEPTTEMPLATES]')
INSERT INTO `InstallExecuteSequence` (`Action`, `Condition`, `Sequence`) VALUES ('KeepTemplates', 'NOT TEMPLATES AND KEPTTEMPLATES', 55)
INSERT INTO `CustomAction` (`Action`, `Type`, `Source`, `Target`) VALUES ('KeepProxy', 51, 'PROXY', '[KEPTPROXY]')
INSERT INTO `InstallExecuteSequence` (`Action`, `Condition`, `Sequence`) VALUES ('KeepProxy', 'NOT PROXY AND KEPTPROXY', 56)
UPDATE `Property` SET `Value`='WIX_DOWNGRADE_DETECTED;WIX_UPGRADE_DETECTED;SERVICEURL;ENTERPRISEPUBLISHING;CLOUDPUBLISHING;HIERARCHY;TEMPLATES;PROXY' WHERE `Property`='SecureCustomProperties'
CREATE TABLE `Environment` (`Environment` CHAR(72) NOT NULL, `Name` CHAR(255) NOT NULL LOCALIZABLE, `Value` CHAR(255) LOCALIZABLE, `Component_` CHAR(72) NOT NULL PRIMARY KEY `Environment`)
INSERT INTO `Environment` (`Environment`, `Name`, `Value`, `Component_`) VALUES ('Path', '=-*PATH', '[~];[INSTALLDIR]', 'Program')
INSERT INTO `InstallExecuteSequence` (`Action`, `Sequence`) VALUES ('RemoveEnvironmentStrings', 3300)
INSERT INTO `InstallExecuteSequence` (`Action`, `Sequence`) VALUES ('WriteEnvironmentStrings', 5200)
